// Package format reads proglog's files and reads and writes its batches and cursors, from docs/concepts/formats.md and docs/concepts/wire.md.
package format

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sort"

	"golang.org/x/crypto/blake2b"
)

const (
	HeaderBytes = 128
	MaxBatch    = 4_000_000
	seed        = 0x50524F47 // "PROG": the checksum of nothing is not 0
	FlagControl = 1
	FlagGap     = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Crc continues a checksum; Seed starts one.
func Crc(start uint32, data []byte) uint32 { return crc32.Update(start, castagnoli, data) }

// Seed is where every checksum starts.
func Seed() uint32 { return seed }

// Header is what a batch begins with.
type Header struct {
	Mark                        [4]byte
	HeaderCrc                   uint32
	BaseOffset                  uint64
	AppendTimeMs                uint64
	BatchBytes, GroupAt         uint32
	PortableCrc                 uint32
	Version, Codec              uint8
	Flags                       uint16
	Origin                      [16]byte
	BaseSequence, SequenceSpan  uint64
	RecordCount, ChainCrc       uint32
	Seal, ProducerEpoch         uint32
	FirstTimestampMs, MaxTimeMs int64
	ProducerID                  [16]byte
	ProducerSequence            uint64
}

// Parse checks the batch at the start of data and returns its header and payload.
func Parse(data []byte) (Header, []byte, error) {
	var h Header
	if len(data) < HeaderBytes {
		return h, nil, errors.New("a batch header is cut short")
	}
	if _, err := binary.Decode(data, binary.LittleEndian, &h); err != nil {
		return h, nil, err
	}
	if Crc(seed, data[8:HeaderBytes]) != h.HeaderCrc {
		return h, nil, errors.New("the header's checksum does not agree")
	}
	if h.Version < 1 || h.Version > 2 || h.Codec != 0 || h.Flags&^(FlagControl|FlagGap) != 0 {
		return h, nil, fmt.Errorf("version %d, codec %d, flags %d: a later release wrote this", h.Version, h.Codec, h.Flags)
	}
	if h.BatchBytes < HeaderBytes || int(h.BatchBytes) > len(data) {
		return h, nil, errors.New("a batch is cut short")
	}
	payload := data[HeaderBytes:h.BatchBytes]
	if Crc(Crc(seed, payload), data[36:HeaderBytes]) != h.PortableCrc {
		return h, nil, errors.New("the batch's checksum does not agree")
	}
	return h, payload, nil
}

// Encode returns an unstamped batch of count records: what a producer sends.
func Encode(payload []byte, count int, firstMs, maxMs int64, producer [16]byte, epoch uint32, sequence uint64) []byte {
	h := Header{
		Mark: [4]byte{0xa7, 'P', 'L', 'B'}, BatchBytes: uint32(HeaderBytes + len(payload)), Version: 1,
		SequenceSpan: uint64(count), RecordCount: uint32(count), FirstTimestampMs: firstMs, MaxTimeMs: maxMs,
		ProducerID: producer, ProducerEpoch: epoch, ProducerSequence: sequence,
	}
	data := make([]byte, HeaderBytes, HeaderBytes+len(payload))
	write := func() {
		if _, err := binary.Encode(data, binary.LittleEndian, &h); err != nil {
			panic(err) // every field has a fixed size
		}
	}
	write()
	h.PortableCrc = Crc(Crc(seed, payload), data[36:])
	write()
	h.HeaderCrc = Crc(seed, data[8:])
	write()
	return append(data, payload...)
}

// Mark is what a batch begins with at a position of a segment's store.
func Mark(logID []byte, baseOffset, position uint64) [4]byte {
	hash, err := blake2b.New(4, logID)
	if err != nil {
		panic(err) // the id has 16 bytes
	}
	var place [16]byte
	binary.LittleEndian.PutUint64(place[:], baseOffset)
	binary.LittleEndian.PutUint64(place[8:], position)
	hash.Write(place[:])
	return [4]byte(hash.Sum(nil))
}

// Chain continues an origin's chain over a stamped batch.
func Chain(previous uint32, h Header, data, payload []byte) uint32 {
	var link []byte
	if h.Version == 1 {
		link = binary.LittleEndian.AppendUint64(link, h.BaseSequence)
		link = binary.LittleEndian.AppendUint64(link, h.SequenceSpan)
	} else {
		link = append(link, data[36:HeaderBytes]...)
		copy(link[76-36:], []byte{0, 0, 0, 0})
	}
	return Crc(previous, binary.LittleEndian.AppendUint32(link, Crc(seed, payload)))
}

// Cursor is the next sequence of each origin.
type Cursor map[[16]byte]uint64

// Token returns the cursor as text.
func (c Cursor) Token() string {
	origins := make([][16]byte, 0, len(c))
	for origin := range c {
		origins = append(origins, origin)
	}
	sort.Slice(origins, func(i, j int) bool { return string(origins[i][:]) < string(origins[j][:]) })
	body := []byte{1}
	for _, origin := range origins {
		body = binary.AppendUvarint(append(body, origin[:]...), c[origin])
	}
	return base64.RawURLEncoding.EncodeToString(binary.LittleEndian.AppendUint32(body, Crc(seed, body)))
}

// ParseCursor returns the cursor that a token says.
func ParseCursor(token string) (Cursor, error) {
	data, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return nil, err
	}
	if len(data) < 5 || Crc(seed, data[:len(data)-4]) != binary.LittleEndian.Uint32(data[len(data)-4:]) {
		return nil, errors.New("the cursor's checksum does not agree")
	}
	body := data[1 : len(data)-4]
	if data[0] != 1 {
		return nil, fmt.Errorf("cursor version %d", data[0])
	}
	cursor := Cursor{}
	for len(body) > 0 {
		if len(body) < 17 {
			return nil, errors.New("the cursor is cut short")
		}
		sequence, size := binary.Uvarint(body[16:])
		if size <= 0 {
			return nil, errors.New("the cursor is cut short")
		}
		cursor[[16]byte(body)] = sequence
		body = body[16+size:]
	}
	return cursor, nil
}
