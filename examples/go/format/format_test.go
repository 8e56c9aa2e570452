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

type file struct{ Name, Text, Why string }

func load(t *testing.T) (v struct {
	Crc32c []struct {
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
	Bad      []struct{ Token string } `json:"bad_cursors"`
	Files    []file                   `json:"small_files"`
	BadFiles []file                   `json:"bad_small_files"`
	Index    struct {
		Bytes   string
		Base    uint64 `json:"base_offset"`
		End     uint64 `json:"end_offset"`
		Store   uint64 `json:"store_bytes"`
		Batches uint64 `json:"batch_count"`
		Records uint64 `json:"record_count"`
		First   int64  `json:"first_timestamp_ms"`
		Max     int64  `json:"max_timestamp_ms"`
		Last    uint64 `json:"last_append_ms"`
		Origins []string
		Entries [][5]int64
	}
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

func TestSmallFiles(t *testing.T) {
	v := load(t)
	logs := 0
	for _, each := range v.Files {
		var content struct{ Log string }
		err := ParseSmallFile([]byte(each.Text), &content)
		if each.Name == "derived" { // a hint, whose version moves by itself
			if err == nil {
				t.Errorf("%s: its version was not seen", each.Name)
			}
			continue
		}
		if err != nil || (content.Log != "" && content.Log != v.Stored.Log) {
			t.Errorf("%s: %v, %v", each.Name, content, err)
		}
		if content.Log != "" {
			logs++
		}
	}
	if logs != 6 {
		t.Errorf("%d files name the log", logs)
	}
	for _, each := range v.BadFiles {
		if err := ParseSmallFile([]byte(each.Text), &struct{}{}); err == nil {
			t.Errorf("%s: was not found", each.Why)
		}
	}
}

func TestIndex(t *testing.T) {
	v := load(t)
	data, logID, said := unhex(t, v.Index.Bytes), unhex(t, v.Stored.Log), v.Index
	index, err := ParseIndex(data, logID)
	if err != nil {
		t.Fatal(err)
	}
	expected := Summary{said.Base, said.End, said.Store, said.Batches, said.Records, said.First, said.Max, said.Last}
	if index.Summary != expected || len(index.Origins) != len(said.Origins) || len(index.Entries) != len(said.Entries) {
		t.Fatalf("%+v, expected %+v", index, said)
	}
	for number, each := range index.Entries {
		got := [5]int64{int64(each.Offset), int64(each.Position), each.MaxMs, int64(each.Sequence), int64(each.Origin)}
		if got != said.Entries[number] {
			t.Errorf("entry %d: %v, expected %v", number, got, said.Entries[number])
		}
	}
	for at := range data {
		data[at] ^= 1
		if _, err := ParseIndex(data, logID); err == nil {
			t.Errorf("damage at byte %d was not found", at)
		}
		data[at] ^= 1
	}
	if _, err := ParseIndex(data, make([]byte, 16)); err == nil {
		t.Error("an index of another log was taken")
	}
}
