package proveclient

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"gopkg.in/yaml.v3"

	"proverctl.example/prover/internal/keys"
)

// DefaultConfig is read when CLIENT_CONFIG is unset, relative to the working directory.
const DefaultConfig = "config/client.yaml"

// Config is the flat schema of the client's YAML. Fields of other schemas are ignored.
type Config struct {
	ProverID     string `yaml:"prover_id"`
	Upstream     string `yaml:"upstream"`
	PollInterval int64  `yaml:"poll_interval"` // milliseconds
	Circuit      string `yaml:"circuit"`
	R1CS         string `yaml:"r1cs"`
	Monomial     string `yaml:"srs_monomial_form"`
	Lagrange     string `yaml:"srs_lagrange_form"`
	Verifying    string `yaml:"vk"`
}

// LoadConfig reads the file and lets the environment win.
func LoadConfig(getenv func(string) string) (Config, error) {
	path := getenv("CLIENT_CONFIG")
	if path == "" {
		path = DefaultConfig
	}
	var config Config
	data, err := os.ReadFile(path)
	if err != nil {
		return config, fmt.Errorf("configuration (CLIENT_CONFIG) cannot be read: %w", err)
	}
	if err := yaml.Unmarshal(data, &config); err != nil {
		return config, fmt.Errorf("configuration %s does not fit the flat schema: %w", path, err)
	}
	if err := config.override(getenv); err != nil {
		return config, err
	}
	return config, config.check(path)
}

func (c *Config) override(getenv func(string) string) error {
	for name, field := range map[string]*string{
		"CLIENT_PROVER_ID": &c.ProverID, "CLIENT_CIRCUIT": &c.Circuit, "CLIENT_UPSTREAM": &c.Upstream,
	} {
		if value := getenv(name); value != "" {
			*field = value
		}
	}
	text := getenv("CLIENT_POLL_INTERVAL")
	if text == "" {
		return nil
	}
	milliseconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("CLIENT_POLL_INTERVAL=%q is no number of milliseconds: %w", text, err)
	}
	c.PollInterval = milliseconds
	return nil
}

func (c *Config) check(path string) error {
	for _, field := range []struct{ name, value string }{
		{"prover_id", c.ProverID}, {"upstream", c.Upstream}, {"circuit", c.Circuit}, {"r1cs", c.R1CS},
		{"srs_monomial_form", c.Monomial}, {"srs_lagrange_form", c.Lagrange}, {"vk", c.Verifying},
	} {
		if field.value == "" {
			return fmt.Errorf("configuration %s: missing field `%s`", path, field.name)
		}
	}
	if c.PollInterval <= 0 {
		return fmt.Errorf("configuration %s: poll_interval is %d, it must be a positive number of milliseconds", path, c.PollInterval)
	}
	return nil
}

// Interval is the time between two polls of an idle client.
func (c *Config) Interval() time.Duration { return time.Duration(c.PollInterval) * time.Millisecond }

// Paths are the files a proof needs.
func (c *Config) Paths() keys.Paths {
	return keys.Paths{Constraints: c.R1CS, Monomial: c.Monomial, Lagrange: c.Lagrange, Verifying: c.Verifying}
}
