package registrator

import "testing"

func TestBadPort(t *testing.T) {
	for name, want := range map[string]bool{
		"SERVICE_99999_NAME": true, "SERVICE_0_NAME": true, "SERVICE_90-80_NAME": true, "SERVICE_-1_NAME": true,
		"SERVICE_80_NAME": false, "SERVICE_080_NAME": false, "SERVICE_80-90_UDP_NAME": false, "SERVICE_NAME": false,
		"SERVICE_CHECK_HTTP": false, "SERVICE_99999": false,
	} {
		if _, bad := badPort(name); bad != want {
			t.Errorf("%s: bad is %v, want %v", name, bad, want)
		}
	}
}
