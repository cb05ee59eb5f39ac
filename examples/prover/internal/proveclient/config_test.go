package proveclient

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const complete = `
prover_id: pod
upstream: http://cluster-coordinator
poll_interval: 10000
circuit: block
r1cs: /opt/circuit/circuit.r1cs
srs_monomial_form: /opt/circuit/mon.key
srs_lagrange_form: /opt/circuit/lag.key
vk: /opt/circuit/vk.bin
`

func load(t *testing.T, text string, environment map[string]string) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "client.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadConfig(func(name string) string {
		if name == "CLIENT_CONFIG" {
			return path
		}
		return environment[name]
	})
}

// The environment wins over the file; empty means unset.
func TestEnvironmentOverridesTheFile(t *testing.T) {
	config, err := load(t, complete, map[string]string{
		"CLIENT_PROVER_ID": "me", "CLIENT_UPSTREAM": "http://127.0.0.1:1", "CLIENT_POLL_INTERVAL": "50", "CLIENT_CIRCUIT": "",
	})
	if err != nil {
		t.Fatal(err)
	}
	if config.ProverID != "me" || config.Upstream != "http://127.0.0.1:1" || config.PollInterval != 50 || config.Circuit != "block" {
		t.Errorf("got %+v", config)
	}
}

// Faults name the field they are in.
func TestConfigFaultsNameTheField(t *testing.T) {
	for name, test := range map[string]struct {
		text, expected string
		environment    map[string]string
	}{
		"missing":  {strings.Replace(complete, "vk:", "other:", 1), "missing field `vk`", nil},
		"schema":   {strings.Replace(complete, "circuit: block", "circuit: {name: block}", 1), "flat schema", nil},
		"interval": {complete, "CLIENT_POLL_INTERVAL", map[string]string{"CLIENT_POLL_INTERVAL": "soon"}},
		"zero":     {complete, "poll_interval is 0", map[string]string{"CLIENT_POLL_INTERVAL": "0"}},
	} {
		if _, err := load(t, test.text, test.environment); err == nil || !strings.Contains(err.Error(), test.expected) {
			t.Errorf("%s: expected a fault with %q, got %v", name, test.expected, err)
		}
	}
}

// An upstream without a port means port 80; anything but http is a fault.
func TestDialAddress(t *testing.T) {
	for upstream, expected := range map[string]string{
		"http://cluster-coordinator": "cluster-coordinator:80",
		"http://10.0.0.1:50055":      "10.0.0.1:50055",
		"http://[::1]:5":             "[::1]:5",
		"https://host":               "",
		"host:80":                    "",
	} {
		if got, err := dialAddress(upstream); got != expected || (err == nil) != (expected != "") {
			t.Errorf("%s: expected %q, got %q (%v)", upstream, expected, got, err)
		}
	}
}

// RUST_LOG decides what is seen; unset shows nothing at all.
func TestLoggerFollowsRustLog(t *testing.T) {
	for rustLog, expected := range map[string]int{
		"": 0, "off": 0, "error": 1, "info": 2, "error,client=debug": 2, "h2=trace": 0, "INFO": 2,
	} {
		var out strings.Builder
		logger := NewLogger(&out, rustLog)
		logger.Error("broken")
		logger.Info("going on")
		if got := strings.Count(out.String(), "\n"); got != expected {
			t.Errorf("RUST_LOG=%q: expected %d lines, got %d", rustLog, expected, got)
		}
	}
}
