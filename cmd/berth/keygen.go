package main

import (
	"crypto/rand"
	"encoding/base64"

	"berth/internal/config"
)

type keygenCommand struct{}

func (c *keygenCommand) flags(*flagSet) {}

func (c *keygenCommand) run(e *env, _ []string) int {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return e.errorf("Error reading random data: %v", err)
	}
	text := base64.StdEncoding.EncodeToString(key)
	if err := config.CheckKey(text); err != nil {
		return e.errorf("Error: %v", err)
	}
	e.printf("%s", text)
	return 0
}
