package token

import "unsafe"

// An entry of the verified-token cache and the texts that belong to it are one
// block of memory: a lookup among many tokens costs what it waits for memory,
// and here it can compare the token while the entry itself is still on its
// way, since where the token is follows from where the entry is.

// room makes entries with room for texts, by the sizes in which the runtime
// gives memory. Blocks above 512 bytes have 8 of the runtime's own.
var room = [...]struct {
	size int
	make func() *verified
}{
	{512, block[[512 - entryBytes]byte]},
	{576, block[[576 - 8 - entryBytes]byte]},
	{640, block[[640 - 8 - entryBytes]byte]},
	{704, block[[704 - 8 - entryBytes]byte]},
	{768, block[[768 - 8 - entryBytes]byte]},
	{896, block[[896 - 8 - entryBytes]byte]},
	{1024, block[[1024 - 8 - entryBytes]byte]},
	{1152, block[[1152 - 8 - entryBytes]byte]},
	{1280, block[[1280 - 8 - entryBytes]byte]},
	{1408, block[[1408 - 8 - entryBytes]byte]},
	{1536, block[[1536 - 8 - entryBytes]byte]},
	{1792, block[[1792 - 8 - entryBytes]byte]},
	{2048, block[[2048 - 8 - entryBytes]byte]},
	{2304, block[[2304 - 8 - entryBytes]byte]},
	{2688, block[[2688 - 8 - entryBytes]byte]},
	{3072, block[[3072 - 8 - entryBytes]byte]},
	{3456, block[[3456 - 8 - entryBytes]byte]},
	{4096, block[[4096 - 8 - entryBytes]byte]},
	{4864, block[[4864 - 8 - entryBytes]byte]},
	{5376, block[[5376 - 8 - entryBytes]byte]},
	{6144, block[[6144 - 8 - entryBytes]byte]},
	{8192, block[[8192 - 8 - entryBytes]byte]},
	{10240, block[[10240 - 8 - entryBytes]byte]},
	{12288, block[[12288 - 8 - entryBytes]byte]},
	{16384, block[[16384 - 8 - entryBytes]byte]},
	{20480, block[[20480 - 8 - entryBytes]byte]},
	{32768, block[[32768 - 8 - entryBytes]byte]},
}

// entryBytes is the size of an entry without its texts.
const entryBytes = int(unsafe.Sizeof(verified{}))

func block[T any]() *verified {
	return &new(struct {
		verified
		texts T
	}).verified
}

// roomFor gives the place in room for texts of a length, -1 where they are too
// long.
func roomFor(texts int) int {
	for i := range room {
		n := room[i].size - entryBytes
		if room[i].size > 512 {
			n -= 8
		}
		if texts <= n {
			return i
		}
	}
	return -1
}

// texts gives the first n bytes of the texts of an entry that one of room
// made. They may be written until somebody has read them as a text.
func (r *verified) texts(n int) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(r), entryBytes)), n) //nolint:gosec // put chose a block that has room for them
}

// text gives the first n bytes of them, which must not be written any more.
func (r *verified) text(n int) string {
	return unsafe.String((*byte)(unsafe.Add(unsafe.Pointer(r), entryBytes)), n) //nolint:gosec // as above; n is at most the size that was written
}
