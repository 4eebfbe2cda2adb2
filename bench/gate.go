package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// build gives the gate's binary: the one that is named, or built as a
// release is.
func build(binary, dir string) (string, error) {
	if binary != "" {
		return filepath.Abs(binary)
	}
	path := filepath.Join(dir, "hopgate")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, ".")
	cmd.Dir, cmd.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("can't build hopgate: %w: %s", err, bytes.TrimSpace(out))
	}
	return path, nil
}

func size(path string) (float64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return float64(info.Size()) / 1e6, nil
}

// startTime gives the milliseconds from the start of the process to its
// first answer, the median of five.
func (l *lab) startTime() (float64, error) {
	tokens, err := l.es.pool(1)
	if err != nil {
		return 0, err
	}
	var times []float64
	for range 5 {
		began := time.Now()
		s, err := l.startHopgate("start", on{cores: l.machine.proxyCores, threads: 1}, 10)
		if err != nil {
			return 0, err
		}
		status, _, err := l.call(s.url("/v1/users/"+user(0)), tokens[0])
		took := time.Since(began)
		l.stopAll()
		if err != nil || status != 200 {
			return 0, fmt.Errorf("the gate's first answer was %d (%w)", status, err)
		}
		times = append(times, took.Seconds()*1e3)
	}
	return median(times), nil
}
