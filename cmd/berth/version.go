package main

import "encoding/json"

type versionCommand struct{ format string }

func (c *versionCommand) flags(f *flagSet) {
	f.StringVar(&c.format, "format", "pretty", "pretty or json")
}

// apiVersion is the version of Consul whose API and command line berth follows.
const apiVersion = "1.21"

func (c *versionCommand) run(e *env, _ []string) int {
	switch c.format {
	case "json":
		text, err := json.MarshalIndent(map[string]any{
			"Version": version, "HumanVersion": version, "Revision": "", "Consul": apiVersion,
			"RPC": map[string]int{"Default": 2, "Min": 2, "Max": 3},
		}, "", "  ")
		if err != nil {
			return e.errorf("Error: %v", err)
		}
		e.printf("%s", text)
	case "pretty":
		e.printf("berth v%s\nSpeaks the HTTP API of Consul %s", version, apiVersion)
	default:
		return e.errorf("Error: -format %q: use pretty or json", c.format)
	}
	return 0
}
