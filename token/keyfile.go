package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// keyFile is what a cache_file holds. Source and Issuer tell that it is this
// key set's, Fetched from when on its age counts.
type keyFile struct {
	Issuer  string           `json:"issuer"`
	Source  string           `json:"source"`
	Fetched time.Time        `json:"fetched"`
	Keys    []map[string]any `json:"keys"`
}

func (k *keySet) address() string {
	if k.settings.jwks.Discovery != "" {
		return k.settings.jwks.Discovery
	}
	return k.settings.jwks.URL
}

// save writes the keys that are in use to the cache file, public parts only.
// A reader sees the old file or the new one, never half of it.
func (k *keySet) save(fetched time.Time) error {
	file := keyFile{Issuer: k.settings.issuer, Source: k.address(), Fetched: fetched.UTC()}
	for _, key := range k.current.Load().list {
		file.Keys = append(file.Keys, key.jwk)
	}
	text, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return err
	}
	name := k.settings.jwks.CacheFile
	// Whoever can write the file can sign tokens: CreateTemp lets only the
	// owner, and refuses to follow a link.
	tmp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(append(text, '\n'))
	if err == nil {
		err = tmp.Sync()
	}
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
	}
	return err
}

// load takes the keys from the cache file, where it has some that are not too
// old. They are checked like fetched ones. A file that is not there is no
// error.
func (k *keySet) load() error {
	text, err := readFile(k.settings.jwks.CacheFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	doc, err := decodeClaims(text)
	if err != nil {
		return err
	}
	if doc["issuer"] != k.settings.issuer || doc["source"] != k.address() {
		return errors.New("it holds the keys of another issuer or address")
	}
	date, _ := doc["fetched"].(string)
	fetched, err := time.Parse(time.RFC3339, date)
	if err != nil {
		return errors.New("it does not say when the keys were fetched")
	}
	now := k.o.Now()
	if fetched.After(now.Add(time.Minute)) {
		return errors.New("it says that the keys were fetched in the future")
	}
	until := fetched.Add(k.settings.jwks.MaxStale)
	if !now.Before(until) {
		return fmt.Errorf("its keys are older than max_stale (%s)", k.settings.jwks.MaxStale)
	}
	set, err := parseKeySet(text)
	if err != nil {
		return err
	}
	k.replace(set.keys)
	k.until.Store(until.UnixNano())
	k.fetched = fetched
	return nil
}
