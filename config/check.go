package config

// check reports what is wrong between the values of a configuration, each of
// which is well-formed.
func check(cfg *Config, d *decoder) {
}
