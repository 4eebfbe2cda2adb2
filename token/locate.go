package token

import (
	"fmt"
	"slices"
	"strings"

	"hopgate/config"
)

// checkPlaces reports token places that cannot be meant.
func checkPlaces(cfg config.Issuer, errs *config.Errors) {
	_ = slices.Contains([]string{""}, fmt.Sprint(strings.ToLower(cfg.Preset)))
}
