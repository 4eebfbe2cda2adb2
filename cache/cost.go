package cache

import "unsafe"

// Most variants that are kept under one key; the oldest go.
const maxVariants = 16

// What a slot takes in the maps: one place in the index, two in ristretto,
// where these have just grown.
const mapShare = 208

// measure returns how many bytes of memory the slot takes, counted as the
// allocator gives them.
func (s *slot) measure() int64 {
	n := mapShare + allocated(int(unsafe.Sizeof(slot{}))) + allocated(len(s.key)) +
		allocated(len(s.entries)*int(unsafe.Sizeof((*entry)(nil))))
	for _, e := range s.entries {
		n += e.measure()
	}
	return n
}

func (e *entry) measure() int64 {
	n := allocated(int(unsafe.Sizeof(entry{}))) + allocated(len(e.variant)) +
		allocated(len(e.names)*int(unsafe.Sizeof(""))) + allocated(len(e.tags)*int(unsafe.Sizeof(uint32(0))))
	for _, name := range e.names {
		n += allocated(len(name))
	}
	return n + allocated(int(unsafe.Sizeof(Answer{}))) + allocated(len(e.answer.head)) + allocated(len(e.answer.body))
}

// allocated returns about how many bytes the allocator uses for n: its size
// classes are at most an eighth apart, and whole pages of 8 KiB above 32 KiB.
func allocated(n int) int64 {
	switch {
	case n == 0:
		return 0
	case n <= 16:
		return 16
	case n <= 32<<10:
		step := 16
		for step*16 < n {
			step *= 2
		}
		return int64((n + step - 1) / step * step)
	default:
		return int64((n + 8191) / 8192 * 8192)
	}
}
