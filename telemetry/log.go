package telemetry

import (
	"fmt"
	"io"
	"log/slog"
)

// ParseLevel gives the slog level of a word of log.level: debug, info, warn
// or error.
func ParseLevel(word string) (slog.Level, error) {
	switch word {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("log level %q is none of debug, info, warn, error", word)
}

// NewLogger makes the logger of the program's own messages, as JSON for
// machines or as text for a terminal. A *slog.LevelVar as level lets a reload
// change it. Nothing of a request may be given to it but what the access log
// has too.
func NewLogger(w io.Writer, json bool, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if json {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
