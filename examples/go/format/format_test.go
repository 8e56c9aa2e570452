package format

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

type vector struct {
	Name, Bytes string
	Position    uint64
	Header      struct {
		BaseOffset   uint64 `json:"base_offset"`
		BaseSequence uint64 `json:"base_sequence"`
		Span         uint64 `json:"sequence_span"`
		Count        uint32 `json:"record_count"`
		Chain        uint32 `json:"chain_crc"`
		First        int64  `json:"first_timestamp_ms"`
		Max          int64  `json:"max_timestamp_ms"`
		Epoch        uint32 `json:"producer_epoch"`
		Sequence     uint64 `json:"producer_sequence"`
		ProducerID   string `json:"producer_id"`
		Flags        uint16
		Version      uint8
	}
}

func load(t *testing.T) (v struct {
	Crc32c    []struct {
		Data string
		Crc  uint32
	}
	Unstamped []vector
	Stored    struct {
		Log     string
		Segment uint64
		Batches []vector
	}
	Cursors []struct {
		Token     string
		Positions [][2]any
	}
	Bad []struct{ Token string } `json:"bad_cursors"`
}) {
	data, err := os.ReadFile("../../../testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func unhex(t *testing.T, text string) []byte {
	data, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestChecksums(t *testing.T) {
	for _, each := range load(t).Crc32c {
		if got := Crc(Seed(), unhex(t, each.Data)); got != each.Crc {
			t.Errorf("%s: %d, expected %d", each.Data, got, each.Crc)
		}
	}
}

func TestBatchesAsProducersSendThem(t *testing.T) {
	for _, each := range load(t).Unstamped {
		data := unhex(t, each.Bytes)
		h, payload, err := Parse(data)
		if err != nil || h.RecordCount != each.Header.Count || h.MaxTimeMs != each.Header.Max {
			t.Errorf("%s: %+v, %v", each.Name, h, err)
		}
		if h.Flags != 0 {
			continue
		}
		made := Encode(payload, int(h.RecordCount), h.FirstTimestampMs, h.MaxTimeMs, h.ProducerID, h.ProducerEpoch, h.ProducerSequence)
		if string(made) != string(data) {
			t.Errorf("%s: encoded otherwise", each.Name)
		}
		data[len(data)-1] ^= 1
		if _, _, err := Parse(data); err == nil {
			t.Errorf("%s: damage was not found", each.Name)
		}
	}
}

func TestASegmentsBatches(t *testing.T) {
	stored := load(t).Stored
	var chain uint32
	for number, each := range stored.Batches {
		data := unhex(t, each.Bytes)
		h, payload, err := Parse(data)
		if err != nil || h.BaseOffset != each.Header.BaseOffset || h.BaseSequence != each.Header.BaseSequence {
			t.Fatalf("%s: %+v, %v", each.Name, h, err)
		}
		if h.Mark != Mark(unhex(t, stored.Log), stored.Segment, each.Position) {
			t.Errorf("%s: another mark", each.Name)
		}
		if number == 0 {
			chain = Crc(Seed(), h.Origin[:])
		}
		if h.Flags&FlagGap == 0 && h.ChainCrc != Chain(chain, h, data, payload) {
			t.Errorf("%s: another chain", each.Name)
		}
		chain = h.ChainCrc
	}
}

func TestCursors(t *testing.T) {
	v := load(t)
	for _, each := range v.Cursors {
		cursor, err := ParseCursor(each.Token)
		if err != nil || len(cursor) != len(each.Positions) || cursor.Token() != each.Token {
			t.Errorf("%s: %v, %v", each.Token, cursor, err)
		}
	}
	for _, each := range v.Bad {
		if cursor, err := ParseCursor(each.Token); err == nil {
			t.Errorf("%q: %v", each.Token, cursor)
		}
	}
}
