package check

import "strings"

const expiredPrefix = "TTL expired (last output before timeout follows): "

// Expired is the output of a TTL check that was not refreshed in time.
func Expired(last string, max int) string {
	if last == "" {
		return "TTL expired"
	}
	if strings.HasPrefix(last, expiredPrefix) {
		return last
	}
	return Truncate(expiredPrefix+last, max+len(expiredPrefix))
}
