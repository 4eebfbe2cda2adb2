package telemetry

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestLogger(t *testing.T) {
	for word, want := range map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError} {
		if got, err := ParseLevel(word); err != nil || got != want {
			t.Errorf("ParseLevel(%q) = %v, %v", word, got, err)
		}
	}
	if _, err := ParseLevel("loud"); err == nil {
		t.Error("a level that is none was taken")
	}

	var out bytes.Buffer
	var level slog.LevelVar
	log := NewLogger(&out, false, &level)
	log.Debug("hidden")
	level.Set(slog.LevelDebug)
	log.Debug("shown\n")
	NewLogger(&out, true, &level).Info("as JSON")
	got := out.String()
	if strings.Contains(got, "hidden") || !strings.Contains(got, `msg="shown\n"`) || !strings.Contains(got, `"msg":"as JSON"`) {
		t.Error(got)
	}
}
