package main

import (
	"encoding/gob"
	"errors"
	"hash/crc32"
	"io"
	"math/big"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-plugin"
	"net/rpc"
)

// The contract over net/rpc. Every method is served as `Plugin.<Method>`; the types below are what travels.
// Kinds: `kv` (KV), `counter` (Counter), `broker` (Brokered), `faults` (Faults). Each dispense makes an instance of its own.

// Entry is what KV holds under a key.
type Entry struct {
	Key      string
	Value    []byte
	Tags     map[string]string
	Revision uint64 // 1 for the first Put of a key; set by the plugin
}

// Report is a struct of many kinds of field, for Faults.Reverse.
type Report struct {
	Title    string
	Made     time.Time
	Rows     []Row
	Totals   map[string]float64
	Matrix   [][]int32
	Checksum [4]byte
	Huge     *big.Int
	Ratio    complex128
	Parent   *Report
	Extra    map[string]any // int, string, []byte, bool, float64, Row
}

// Row is registered with gob under the name "interop.Row".
type Row struct {
	Name  string
	Score float64
	Tags  []string
	Ok    bool
}

// CallBackArgs: dial Id, call Plugin.Add(1) there Times times.
type CallBackArgs struct {
	Id    uint32
	Times int
}

// PourArgs: dial Id, write Bytes bytes to it (byte i is i % 251), close it.
type PourArgs struct {
	Id    uint32
	Bytes int64
}

// Poured is how many bytes went over a stream, and their CRC-32 (IEEE).
type Poured struct {
	Bytes int64
	Crc   uint32
}

// PrintArgs as PrintRequest in peer.proto.
type PrintArgs struct{ Stdout, Stderr, Raw string }

// LogArgs as LogRequest in peer.proto.
type LogArgs struct {
	Level, Message string
	Fields         map[string]string
}

// AboutReply as in peer.proto.
type AboutReply struct {
	Language          string
	Pid               int
	Version           int
	PluginEnvironment []string
}

// None is an argument or a reply that says nothing.
type None struct{}

func init() { gob.RegisterName("interop.Row", Row{}) }

func netrpcKinds() plugin.PluginSet {
	return plugin.PluginSet{
		"kv":      &netrpcKind{func(*plugin.MuxBroker) any { return &KV{entries: map[string]Entry{}} }},
		"counter": &netrpcKind{func(*plugin.MuxBroker) any { return &Counter{} }},
		"broker":  &netrpcKind{func(broker *plugin.MuxBroker) any { return &Brokered{broker} }},
		"faults":  &netrpcKind{func(*plugin.MuxBroker) any { served.Store(versionNetRPC); return &Faults{} }},
	}
}

// ---- kv

type KV struct {
	mutex   sync.Mutex
	entries map[string]Entry
}

func (k *KV) Put(entry Entry, stored *Entry) error {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	entry.Revision = k.entries[entry.Key].Revision + 1
	k.entries[entry.Key], *stored = entry, entry
	return nil
}

// Get fails with the text `no such key: <key>`.
func (k *KV) Get(key string, entry *Entry) error {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	found, ok := k.entries[key]
	if !ok {
		return errors.New("no such key: " + key)
	}
	*entry = found
	return nil
}

// All answers with the entries whose keys begin with prefix.
func (k *KV) All(prefix string, found *map[string]Entry) error {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	for key, entry := range k.entries {
		if strings.HasPrefix(key, prefix) {
			(*found)[key] = entry
		}
	}
	return nil
}

func (k *KV) Delete(key string, existed *bool) error {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	_, *existed = k.entries[key]
	delete(k.entries, key)
	return nil
}

// Any answers with the values it got: any of the types that Report.Extra lists.
func (k *KV) Any(values map[string]any, same *map[string]any) error {
	*same = values
	return nil
}

// ---- counter, and what either side serves behind a broker id

type Counter struct {
	mutex sync.Mutex
	sum   int64
}

func (c *Counter) Add(value int64, sum *int64) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.sum += value
	*sum = c.sum
	return nil
}

// ---- broker

type Brokered struct{ broker *plugin.MuxBroker }

// CallBack answers with the last sum of the host's Counter.
func (b *Brokered) CallBack(args CallBackArgs, sum *int64) error {
	stream, err := b.broker.Dial(args.Id)
	if err != nil {
		return err
	}
	client := rpc.NewClient(stream)
	defer client.Close()
	for range args.Times {
		if err := client.Call("Plugin.Add", int64(1), sum); err != nil {
			return err
		}
	}
	return nil
}

// Open serves a Counter that begins at start, and answers with its broker id.
func (b *Brokered) Open(start int64, id *uint32) error {
	*id = b.broker.NextId()
	go b.broker.AcceptAndServe(*id, &Counter{sum: start})
	return nil
}

func (b *Brokered) Pour(args PourArgs, poured *Poured) error {
	stream, err := b.broker.Dial(args.Id)
	if err != nil {
		return err
	}
	defer stream.Close()
	*poured, err = pour(stream, args.Bytes)
	return err
}

// Drain dials id and reads until the end: an io.Reader as an argument.
func (b *Brokered) Drain(id uint32, poured *Poured) error {
	stream, err := b.broker.Dial(id)
	if err != nil {
		return err
	}
	defer stream.Close()
	*poured, err = drain(stream)
	return err
}

func pour(stream io.Writer, bytes int64) (Poured, error) {
	sum := crc32.NewIEEE()
	pattern := make([]byte, 251*1024)
	for i := range pattern {
		pattern[i] = byte(i % 251)
	}
	out, left := io.MultiWriter(stream, sum), bytes
	for left > 0 {
		n, err := out.Write(pattern[:min(left, int64(len(pattern)))])
		if err != nil {
			return Poured{}, err
		}
		left -= int64(n)
	}
	return Poured{bytes, sum.Sum32()}, nil
}

func drain(stream io.Reader) (Poured, error) {
	sum := crc32.NewIEEE()
	bytes, err := io.Copy(sum, stream)
	return Poured{bytes, sum.Sum32()}, err
}

// ---- faults

type Faults struct{}

func (*Faults) Big(bytes []byte, same *[]byte) error {
	*same = bytes
	return nil
}

// Reverse turns the rows around and hangs the report below a new parent with the title `reversed`.
func (*Faults) Reverse(report Report, reversed *Report) error {
	rows := make([]Row, 0, len(report.Rows))
	for i := range report.Rows {
		rows = append(rows, report.Rows[len(report.Rows)-1-i])
	}
	report.Rows = rows
	*reversed = report
	reversed.Parent = &Report{Title: "reversed", Parent: report.Parent}
	return nil
}

func (*Faults) Sleep(ms int, _ *None) error {
	time.Sleep(time.Duration(ms) * time.Millisecond)
	return nil
}

func (*Faults) Print(args PrintArgs, _ *None) error {
	write(args.Stdout, args.Stderr, args.Raw)
	return nil
}

func (*Faults) Log(args LogArgs, _ *None) error {
	logAt(args.Level, args.Message, args.Fields)
	return nil
}

func (*Faults) Panic(text string, _ *None) error {
	crash(text)
	return nil
}

func (*Faults) Exit(code int, _ *None) error {
	os.Exit(code)
	return nil
}

func (*Faults) About(_ None, about *AboutReply) error {
	*about = AboutReply{"go", os.Getpid(), int(served.Load()), pluginEnvironment()}
	return nil
}
