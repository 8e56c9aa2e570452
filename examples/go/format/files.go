package format

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
)

// ParseSmallFile reads a small file's content: a line of JSON, and a line with its checksum.
func ParseSmallFile(data []byte, content any) error {
	at := bytes.IndexByte(data, '\n') + 1
	if at == 0 || string(data[at:]) != fmt.Sprintf("crc32c %08x\n", Crc(seed, data[:at])) {
		return errors.New("the file is damaged")
	}
	head := struct {
		Version int
		Needs   []string
	}{Version: 1}
	if err := json.Unmarshal(data[:at], &head); err != nil {
		return err
	}
	if head.Version != 1 || len(head.Needs) > 0 {
		return fmt.Errorf("version %d, needs %v: a later release wrote this", head.Version, head.Needs)
	}
	return json.Unmarshal(data[:at], content)
}

// Summary is a segment in numbers, as the head of its index says them.
type Summary struct {
	BaseOffset, EndOffset, StoreBytes, Batches, Records uint64
	FirstMs, MaxMs                                      int64
	LastAppendMs                                        uint64
}

// Entry is a batch that the index points to.
type Entry struct {
	Offset, Position, Sequence uint64
	MaxMs                      int64
	Origin                     uint32 // its number among the origins
}

// Index is what an index file says.
type Index struct {
	Summary Summary
	Origins [][16]byte
	Entries []Entry
}

// ParseIndex reads the index of a segment of the log.
func ParseIndex(data, logID []byte) (Index, error) {
	var head struct {
		Magic             [4]byte
		Version, Checksum uint32
		Summary           Summary
		Origins, Entries  uint32
		EntriesCrc        uint32
	}
	var index Index
	const checkedFrom = 12
	at, err := binary.Decode(data, binary.LittleEndian, &head)
	if err != nil || head.Magic != [4]byte{0xa7, 'P', 'L', 'X'} || head.Version != 1 {
		return index, errors.New("this is no index that this reader knows")
	}
	index.Summary = head.Summary
	for range head.Origins {
		if at+53 > len(data) {
			return index, errors.New("the index is cut short")
		}
		index.Origins = append(index.Origins, [16]byte(data[at:]))
		at += 53 + int(data[at+52])
	}
	count := int(head.Entries)
	if at > len(data) || len(data)-at != 36*count {
		return index, errors.New("the index is cut short")
	}
	if Crc(Crc(seed, logID), data[checkedFrom:at]) != head.Checksum || Crc(seed, data[at:]) != head.EntriesCrc {
		return index, errors.New("the index's checksums do not agree")
	}
	number := func(column, row int) uint64 { return binary.LittleEndian.Uint64(data[at+8*(column*count+row):]) }
	for row := range count {
		index.Entries = append(index.Entries, Entry{
			Offset: number(0, row), Position: number(1, row), MaxMs: int64(number(2, row)), Sequence: number(3, row),
			Origin: binary.LittleEndian.Uint32(data[at+32*count+4*row:]),
		})
	}
	return index, nil
}
