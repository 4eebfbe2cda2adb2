package token

import "fmt"

// keys is what a key set holds at one time. It is immutable but for the state
// of its keys.
type keys struct {
	list []*key
	byID map[string][]*key // by kid; keys without one are under ""
}

func newKeys(list []*key) *keys {
	s := &keys{list: list, byID: make(map[string][]*key, len(list))}
	for _, k := range list {
		s.byID[k.kid] = append(s.byID[k.kid], k)
	}
	return s
}

// choose gives the keys that a token may have been signed with, mostly one:
//
//   - With a kid, the keys of this kid; they must fit the algorithm. Several
//     fit only where the issuer gave one kid to several keys.
//   - With a kid that no key has, the one key that has no kid and fits; this
//     is how keys in PEM are found, which have none.
//   - Without a kid, the one key that fits.
//
// Where "the one key" is two, none is tried: it would be guessing. The error
// wraps ErrAlgorithm where the key that is named does not fit, and
// ErrKeyUnknown otherwise. again tells that other keys might have it.
func (s *keys) choose(c *header) (list []*key, again bool, err error) {
	if c.hasKid {
		if named := s.byID[c.kid]; len(named) > 0 && c.kid != "" {
			if list = fitting(named, c.alg); len(list) == 0 {
				return nil, false, fmt.Errorf("the key that kid names does not fit %s: %w", c.alg, ErrAlgorithm)
			}
			return list, false, nil
		}
		list = fitting(s.byID[""], c.alg)
	} else {
		list = fitting(s.list, c.alg)
	}
	switch len(list) {
	case 1:
		return list, false, nil
	case 0:
		return nil, true, fmt.Errorf("no key of the set is the token's: %w", ErrKeyUnknown)
	}
	return nil, false, fmt.Errorf("%d keys of the set could be the token's, which does not say which: %w", len(list), ErrKeyUnknown)
}

func fitting(list []*key, alg string) []*key {
	if len(list) == 1 && list[0].takes(alg) { // the usual case, without a copy
		return list
	}
	var fit []*key
	for _, k := range list {
		if k.takes(alg) {
			fit = append(fit, k)
		}
	}
	return fit
}
