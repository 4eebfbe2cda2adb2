package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// profiledTrials are what the gate is profiled by: what most requests are.
var profiledTrials = []string{"forward", "hit", "denied", "day", "h2"}

// profiledMain is the gate's main function around which its CPU time is
// sampled.
const profiledMain = `package main

import (
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"

	"hopgate/cli"
)

func main() {
	f, err := os.Create(filepath.Join(os.Getenv("HOPGATE_PROFILES"), strconv.Itoa(os.Getpid())+".pprof"))
	if err != nil {
		panic(err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		panic(err)
	}
	code := cli.Run(os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	pprof.StopCPUProfile()
	_ = f.Close()
	os.Exit(code)
}
`

// buildProfiled gives a binary of the gate that leaves a profile in dir when
// it ends, built without the profile that there may be already.
func buildProfiled(dir string) (string, error) {
	root, err := filepath.Abs("..")
	if err != nil {
		return "", err
	}
	replacement := filepath.Join(dir, "main.go")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(root, "main.go"): replacement}})
	if err != nil {
		return "", err
	}
	path, overlayFile := filepath.Join(dir, "hopgate"), filepath.Join(dir, "overlay.json")
	if err := errors.Join(os.WriteFile(replacement, []byte(profiledMain), 0o600), os.WriteFile(overlayFile, overlay, 0o600)); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-overlay", overlayFile, "-pgo=off", "-trimpath", "-o", path, ".")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("can't build hopgate: %w: %s", err, bytes.TrimSpace(out))
	}
	return path, os.Setenv("HOPGATE_PROFILES", dir)
}

// mergeProfiles writes what the gates have left in dir into one file.
func mergeProfiles(dir, to string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.pprof"))
	if err != nil {
		return err
	}
	cmd := exec.Command("go", append([]string{"tool", "pprof", "-symbolize=none", "-proto", "-output=" + to}, files...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("can't merge the profiles: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}
