// Reader prints the records of a stopped agent's data directory, a line of JSON each, as `proglog consume -o json` does.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"example/format"
	recordv1 "example/gen/proglog/record/v1"
)

func main() {
	if err := read(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "reader:", err)
		os.Exit(1)
	}
}

func read(directory string) error {
	logID, err := identity(directory)
	if err != nil {
		return err
	}
	stores, err := filepath.Glob(filepath.Join(directory, "*.log"))
	if err != nil {
		return err
	}
	sort.Strings(stores)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for _, store := range stores {
		base, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(store), ".log"), 10, 64)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(store)
		if err != nil {
			return err
		}
		for at := 0; at < len(data); {
			h, payload, err := format.Parse(data[at:])
			if err == nil && h.Mark != format.Mark(logID, base, uint64(at)) {
				err = fmt.Errorf("the batch belongs elsewhere")
			}
			if err == nil && h.Flags&format.FlagControl == 0 {
				err = print(out, h, payload)
			}
			if err != nil {
				return fmt.Errorf("%s, byte %d: %w", store, at, err)
			}
			at += int(h.BatchBytes)
		}
	}
	return nil
}

// identity returns the log's id.
func identity(directory string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(directory, "identity"))
	if err != nil {
		return nil, err
	}
	var content struct{ Log string }
	if err := format.ParseSmallFile(data, &content); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return hex.DecodeString(content.Log)
}

func print(out *bufio.Writer, h format.Header, payload []byte) error {
	var columns recordv1.RecordColumns
	if err := proto.Unmarshal(payload, &columns); err != nil {
		return err
	}
	keyless := map[uint32]bool{}
	for _, number := range columns.Keyless {
		keyless[number] = true
	}
	for number, value := range columns.Values {
		line := map[string]any{
			"schema": "proglog/record/1", "value": text(value), "key": nil, "headers": [][2]any{},
			"offset": h.BaseOffset + uint64(number), "origin": hex.EncodeToString(h.Origin[:]),
			"sequence": h.BaseSequence + uint64(number),
		}
		at := h.FirstTimestampMs
		if len(columns.TimestampDeltasMs) > 0 {
			at += columns.TimestampDeltasMs[number]
		}
		line["timestamp_at"] = time.UnixMilli(at).UTC().Format("2006-01-02T15:04:05.000Z")
		if len(columns.Keys) > 0 && !keyless[uint32(number)] {
			line["key"] = text(columns.Keys[number])
		}
		if len(columns.Headers) > 0 && len(columns.Headers[number].Names) > 0 {
			var headers [][2]any
			for place, name := range columns.Headers[number].Names {
				headers = append(headers, [2]any{name, text(columns.Headers[number].Values[place])})
			}
			line["headers"] = headers
		}
		data, err := json.Marshal(line)
		if err != nil {
			return err
		}
		out.Write(data)
		out.WriteByte('\n')
	}
	return nil
}

func text(data []byte) any {
	if utf8.Valid(data) {
		return string(data)
	}
	return map[string]string{"base64": base64.StdEncoding.EncodeToString(data)}
}
