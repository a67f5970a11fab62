package main

import (
	"encoding/gob"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"net/url"
	"reflect"
	"sort"
	"strings"
	"time"
)

type (
	Point    struct{ X, Y int }
	Level    int
	Flag     bool
	Label    string
	Blob     []byte
	IDs      []int64
	Labels   map[Label]Level
	Grid     [2][3]int8
	Empty    struct{}
	Inner    struct{ V any }
	Iface    struct{ V any }
	Embedded struct {
		Point
		Label
		Extra string
	}
	Hidden struct {
		Shown  string
		hidden string
		Ch     chan int
		Fn     func()
		Last   int
	}
	Rec struct {
		Name string
		Kids []*Rec
	}
	Chain struct {
		Value int
		Next  *Chain
	}
	Graph struct{ Edges map[string]Graph }
	Ping  struct {
		N    int
		Pong *Pong
	}
	Pong struct {
		S     string
		Pings []Ping
	}
	Nested  []Nested
	Scalars struct {
		Bool    bool
		Int     int
		Int8    int8
		Int16   int16
		Int32   int32
		Int64   int64
		Uint    uint
		Uint8   uint8
		Uint16  uint16
		Uint32  uint32
		Uint64  uint64
		Uintptr uintptr
		F32     float32
		F64     float64
		C64     complex64
		C128    complex128
		Str     string
		Bytes   []byte
	}
	Omit struct {
		A  Point
		B  *Point
		L  []string
		M  map[string]int
		E  []Point
		F4 [4]byte
		I  any
		T  time.Time
		Bs []byte
		F  float64
		C  complex128
		U8 uint8
		Ok bool
		P  *int
	}
	Pointers struct {
		P, Q *int
		S    *string
		B    *bool
		F    *float64
		L    *[]string
		M    *map[string]int
		T    *Point
		PP   **int
	}
	Containers struct {
		Names  []string
		Ints   []int
		Points []Point
		Refs   []*Point
		ByName map[string]Point
		Lists  map[string][]int
		Matrix [][]float64
		Pair   [2]Point
		Quad   [4]byte
		Blobs  [][]byte
		Bools  []bool
		Times  []time.Time
	}
	Opaques struct {
		At      time.Time
		AtP     *time.Time
		N       *big.Int
		V       big.Int
		Home    *url.URL
		Addr    netip.Addr
		Secret  Secret
		SecretP *Secret
		Packed  Packed
	}
	// Secret has GobEncode on the value, and reads itself through a pointer, as it must.
	Secret struct{ text string }
	// Packed has MarshalBinary on its pointer.
	Packed struct{ a, b byte }
	Shape  interface{ Area() float64 }
	Square struct{ Side float64 }
	Circle struct{ R float64 }
	Shapes struct {
		Main Shape
		All  []Shape
		By   map[string]Shape
	}
	Wide struct {
		F00, F01, F02, F03, F04, F05, F06, F07, F08, F09 string
		F10, F11, F12, F13, F14, F15, F16, F17, F18, F19 int
		F20, F21, F22, F23, F24, F25, F26, F27, F28, F29 bool
	}
	Request struct {
		ServiceMethod string
		Seq           uint64
	}
	Response struct {
		ServiceMethod string
		Seq           uint64
		Error         string
	}
	Anonymous struct {
		Where struct{ Lat, Lon float64 }
		Tags  []struct{ K, V string }
	}
	Named struct {
		L  Level
		F  Flag
		S  Label
		B  Blob
		I  IDs
		M  Labels
		G  Grid
		D  time.Duration
		Ls []Level
	}
)

func (s Square) Area() float64  { return s.Side * s.Side }
func (c *Circle) Area() float64 { return math.Pi * c.R * c.R }

func (s Secret) GobEncode() ([]byte, error) {
	return []byte(strings.ToUpper(s.text)), nil
}
func (s *Secret) GobDecode(raw []byte) error {
	s.text = strings.ToLower(string(raw))
	return nil
}
func (p *Packed) MarshalBinary() ([]byte, error) { return []byte{p.a, p.b}, nil }
func (p *Packed) UnmarshalBinary(raw []byte) error {
	if len(raw) != 2 {
		return fmt.Errorf("%d bytes", len(raw))
	}
	p.a, p.b = raw[0], raw[1]
	return nil
}

// What is registered beside Go's own, by its names.
var registered = map[string]any{}

func register() {
	add := func(name string, value any) {
		gob.Register(value)
		registered[name] = value
	}
	add("main.Point", Point{})
	add("main.Inner", Inner{})
	add("main.Square", Square{})
	add("*main.Circle", &Circle{})
	add("main.Level", Level(0))
	add("main.IDs", IDs{})
	add("main.Labels", Labels{})
	add("main.Chain", Chain{})
	add("main.Empty", Empty{})
	add("main.Secret", Secret{})
	add("main.Scalars", Scalars{})
	add("time.Time", time.Time{})
	add("*big.Int", &big.Int{})
	add("map[string]interface {}", map[string]any{})
	add("[]interface {}", []any{})
	add("[2]int", [2]int{})
}

func nameOf(rt reflect.Type) string {
	for name, value := range registered {
		if reflect.TypeOf(value) == rt {
			return name
		}
	}
	return rt.String()
}

func sortedKeys(v reflect.Value) []reflect.Value {
	keys := v.MapKeys()
	sort.Slice(keys, func(i, j int) bool { return fmt.Sprint(neutral(keys[i])) < fmt.Sprint(neutral(keys[j])) })
	return keys
}

type testCase struct {
	name   string
	values []any
}

func ptr[T any](value T) *T { return &value }
func inIface(value any) any { return &value }

func mustURL(text string) *url.URL {
	u, err := url.Parse(text)
	check(err)
	return u
}

func bigOf(text string) *big.Int {
	n, ok := new(big.Int).SetString(text, 0)
	if !ok {
		panic(text)
	}
	return n
}

func cases() []testCase {
	all := []testCase{}
	add := func(name string, values ...any) { all = append(all, testCase{name, values}) }

	add("bool true", true)
	add("bool false", false)
	for _, i := range []int64{0, 1, -1, 2, 3, 63, 64, -64, -65, 127, 128, -128, -129, 255, 256, 32767, 32768, -32768, -32769, 65535, 65536, 1 << 23, 1<<24 - 1, 1<<31 - 1, 1 << 31, -1 << 31, 1 << 32, 1<<40 + 1, 1<<47 - 1, 1 << 47, -1 << 47, 1 << 48, 1<<52 + 1, -(1<<52 + 1), 1<<53 - 1, -(1<<53 - 1), 1 << 53, 1<<55 + 3, 1<<56 - 1, math.MaxInt64, math.MinInt64} {
		add(fmt.Sprintf("int64 %d", i), i)
	}
	for _, i := range []int{0, 42, -42, 1 << 30, -1 << 30, 1<<53 - 1, -(1<<53 - 1)} {
		add(fmt.Sprintf("int %d", i), i)
	}
	for _, u := range []uint64{0, 1, 127, 128, 255, 256, 65535, 65536, 1<<24 - 1, 1 << 24, 1<<32 - 1, 1 << 32, 1<<40 - 1, 1 << 40, 1<<48 - 1, 1 << 48, 1<<53 - 1, 1 << 53, 1<<56 - 1, 1 << 56, math.MaxUint64} {
		add(fmt.Sprintf("uint64 %d", u), u)
	}
	add("int8 min and max", int8(-128), int8(127))
	add("int16 min and max", int16(-32768), int16(32767))
	add("int32 min and max", int32(math.MinInt32), int32(math.MaxInt32))
	add("uint8 max", uint8(255))
	add("uint16 max", uint16(65535))
	add("uint32 max", uint32(math.MaxUint32))
	add("uint 7", uint(7))
	add("uintptr", uintptr(0xdeadbeefcafe))
	for _, f := range []float64{0, 1, -1, 17, 3.14, 0.1, 1e300, -1e-300, 1 << 20, 1<<53 + 2, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1), math.NaN(), math.Copysign(0, -1), 100, 0.5, 123456789.125} {
		add(fmt.Sprintf("float64 %v", f), f)
	}
	for _, f := range []float32{0, 1.5, -2.25, 0.1, math.MaxFloat32, math.SmallestNonzeroFloat32} {
		add(fmt.Sprintf("float32 %v", f), f)
	}
	add("complex128", 1+2i)
	add("complex128 zero", 0i)
	add("complex128 odd", complex(0.1, math.Inf(-1)))
	add("complex64", complex64(1.5-2.5i))
	for i, s := range []string{"", "a", "kv", "hello, world", "0123456789ab", "0123456789abc", "exactly twenty-four byte", "one more than twenty-four", strings.Repeat("x", 127), strings.Repeat("x", 128), strings.Repeat("é", 63), strings.Repeat("é", 64), strings.Repeat("€", 50), "日本語", "😀 smile", "a\x00b", strings.Repeat("long ", 1000), strings.Repeat("ü", 300), "grüße", "mixed ascii then é at the very end of it"} {
		add(fmt.Sprintf("string #%d", i), s)
	}
	add("string that is not UTF-8", "caf\xe9\xff\xfe")
	add("bytes", []byte{1, 2, 3})
	add("bytes empty", []byte{})
	add("bytes nil", []byte(nil))
	add("bytes 300", []byte(strings.Repeat("\x00\xff\x80", 100)))
	add("named bytes", Blob("blob"))
	add("named int", Level(-3))
	add("named string", Label("label"))
	add("named bool", Flag(true))
	add("duration", 90*time.Second)

	add("[]string", []string{"a", "bc"})
	add("[]string empty", []string{})
	add("[]string nil", []string(nil))
	add("[]int", []int{1, -2, 300, 0})
	add("[]int8", []int8{1, -2, 0})
	add("[]int16", []int16{1, -2, 300})
	add("[]int32", []int32{1, -2, 1 << 20})
	add("[]int64", []int64{1, -2, 1 << 60})
	add("[]uint", []uint{1, 2})
	add("[]uint16", []uint16{1, 65535})
	add("[]uint32", []uint32{1, 1 << 31})
	add("[]uint64", []uint64{1, 1 << 63})
	add("[]uintptr", []uintptr{1, 2})
	add("[]float32", []float32{1, 0.1})
	add("[]float64", []float64{1, 0.1, 0})
	add("[]complex64", []complex64{1i})
	add("[]complex128", []complex128{1i, 0, 2})
	add("[]bool", []bool{true, false, true})
	add("[][]byte", [][]byte{{1}, {}, {2, 3}})
	add("[][]string", [][]string{{"a"}, {}, {"b", "c"}})
	add("[][][]int", [][][]int{{{1}, {}}, {}})
	add("[]Point", []Point{{1, 2}, {0, 0}})
	add("[]*Point", []*Point{{1, 2}, {}})
	add("[]time.Time", []time.Time{time.Unix(1, 2).UTC(), {}})
	add("[]*big.Int", []*big.Int{bigOf("1"), bigOf("-1")})
	add("[]Level", []Level{1, 2})
	add("IDs", IDs{1, 2})
	add("[4]byte", [4]byte{1, 2, 0, 255})
	add("[3]int", [3]int{1, 0, -1})
	add("[0]int", [0]int{})
	add("[2]string", [2]string{"", "x"})
	add("[2]Point", [2]Point{{1, 2}, {}})
	add("[2][3]int", [2][3]int{{1, 2, 3}, {4, 5, 6}})
	add("Grid", Grid{{1, 2, 3}, {-1, -2, -3}})
	add("[200]byte", [200]byte{0: 1, 100: 128, 199: 255})

	add("map[string]int", map[string]int{"a": 1})
	add("map[string]int of several", map[string]int{"a": 1, "b": 2, "c": 0, "": 4})
	add("map[string]int nil", map[string]int(nil))
	add("map[string]int empty", map[string]int{})
	add("map[int]string", map[int]string{-7: "x"})
	add("map[uint8]bool", map[uint8]bool{200: true})
	add("map[bool]float64", map[bool]float64{true: 0.5})
	add("map[float64]string", map[float64]string{0.5: "half"})
	add("map[string][]string", map[string][]string{"k": {"a", "b"}})
	add("map[string]map[string]int", map[string]map[string]int{"k": {"a": 1}})
	add("map[string]Point", map[string]Point{"p": {1, 2}})
	add("map[string]*Point", map[string]*Point{"p": {1, 2}})
	add("map[Point]string", map[Point]string{{1, 2}: "p"})
	add("map[string][]byte", map[string][]byte{"k": {1}})
	add("map[string]time.Time", map[string]time.Time{"t": time.Unix(0, 0).UTC()})
	add("map[[2]int]string", map[[2]int]string{{1, 2}: "x"})
	add("map[int64]uint64", map[int64]uint64{math.MinInt64: math.MaxUint64})
	add("Labels", Labels{"a": 1})

	add("Point", Point{22, 33})
	add("Point twice", Point{22, 33}, Point{22, 33})
	add("Point zero", Point{})
	add("*Point", &Point{1, 2})
	add("Empty", Empty{})
	add("Scalars zero", Scalars{})
	add("Scalars full", Scalars{true, -1, -8, -16, -32, -64, 1, 8, 16, 32, 64, 128, 1.5, 2.5, 1i, 2i, "s", []byte("b")})
	add("Scalars large", Scalars{true, 1<<53 - 1, -128, -32768, math.MinInt32, math.MinInt64, 1<<53 - 1, 255, 65535, math.MaxUint32, math.MaxUint64, 1 << 40, math.MaxFloat32, math.MaxFloat64, complex64(complex(1, -1)), complex(math.MaxFloat64, 0), strings.Repeat("é", 100), make([]byte, 200)})
	add("Omit zero", Omit{})
	add("Omit full", Omit{Point{1, 2}, &Point{3, 4}, []string{"l"}, map[string]int{"m": 1}, []Point{{5, 6}}, [4]byte{7, 8, 9, 10}, "iface", time.Unix(11, 12).UTC(), []byte("bs"), 1.5, 2i, 3, true, ptr(4)})
	add("Omit empty, not nil", Omit{L: []string{}, M: map[string]int{}, E: []Point{}, Bs: []byte{}, B: &Point{}, P: ptr(0), I: 0})
	add("Pointers nil", Pointers{})
	add("Pointers to zero", Pointers{P: ptr(0), Q: ptr(7), S: ptr(""), B: ptr(false), F: ptr(0.0), L: &[]string{}, M: &map[string]int{}, T: &Point{}, PP: ptr(ptr(0))})
	add("Pointers to something", Pointers{P: ptr(1), Q: ptr(-7), S: ptr("s"), B: ptr(true), F: ptr(0.5), L: &[]string{"l"}, M: &map[string]int{"m": 1}, T: &Point{1, 0}, PP: ptr(ptr(9))})
	add("Containers zero", Containers{})
	add("Containers full", Containers{[]string{"a", "b"}, []int{1, 2, 3}, []Point{{1, 2}}, []*Point{{3, 4}}, map[string]Point{"p": {5, 6}}, map[string][]int{"l": {7}}, [][]float64{{1}, {2, 3}}, [2]Point{{8, 9}, {}}, [4]byte{1, 2, 3, 4}, [][]byte{{5}, {}}, []bool{true, false}, []time.Time{time.Unix(1, 0).UTC()}})
	add("Embedded", Embedded{Point{1, 2}, "label", "extra"})
	add("Hidden", Hidden{"shown", "hidden", make(chan int), func() {}, 7})
	add("Anonymous", Anonymous{struct{ Lat, Lon float64 }{1.5, -2.5}, []struct{ K, V string }{{"k", "v"}, {}}})
	add("unnamed struct", struct {
		A int
		B string
	}{1, "b"})
	add("Named", Named{1, true, "s", Blob("b"), IDs{1}, Labels{"l": 2}, Grid{{1}}, time.Minute, []Level{3}})
	add("Named zero", Named{})
	add("Wide", Wide{F00: "first", F09: "last", F10: 1, F19: -1, F29: true})
	add("Wide, far apart", Wide{F29: true})
	add("Request", Request{"Control.Ping", 0}, true)
	add("Requests", Request{"Control.Ping", 0}, true, Request{"Dispenser.Dispense", 1}, "kv")
	add("Responses", Response{"Control.Ping", 0, ""}, Empty{}, Response{"Dispenser.Dispense", 1, ""}, uint32(1), Response{"Dispenser.Dispense", 2, "unknown plugin type: nope"}, Empty{})

	add("Rec", Rec{"a", []*Rec{{"b", nil}}})
	add("Rec of three levels", Rec{"a", []*Rec{{"b", []*Rec{{"c", nil}, {"d", nil}}}, {"e", nil}}})
	add("Rec twice", Rec{"a", nil}, Rec{"b", []*Rec{{}}})
	add("Chain", Chain{1, &Chain{2, &Chain{0, &Chain{}}}})
	add("Graph", Graph{map[string]Graph{"a": {map[string]Graph{"b": {}}}}})
	add("Ping", Ping{1, &Pong{"s", []Ping{{2, nil}, {3, &Pong{}}}}})
	add("Pong", Pong{"s", []Ping{{2, &Pong{"t", nil}}}})
	add("Pong and Ping", Pong{"s", nil}, Ping{1, nil})
	add("Nested", Nested{{}, {{}, {{}}}})

	add("interface nil", inIface(nil))
	for _, value := range []any{true, 1, int8(-1), int16(2), int32(-3), int64(1 << 60), uint(1), uint8(2), uint16(3), uint32(4), uint64(1 << 63), uintptr(5), float32(0.5), 2.5, complex64(1i), 2i, "string", []byte("bytes")} {
		add(fmt.Sprintf("interface of %T", value), inIface(value))
	}
	for _, value := range []any{[]int{1}, []int8{-1}, []int64{1 << 60}, []uint16{3}, []uint64{1 << 63}, []uintptr{1}, []float32{0.5}, []float64{2.5}, []complex128{2i}, []string{"s", "t"}, []bool{true}} {
		add(fmt.Sprintf("interface of %T", value), inIface(value))
	}
	add("interface of Point", inIface(Point{1, 2}))
	add("interface of Empty", inIface(Empty{}))
	add("interface of Level", inIface(Level(7)))
	add("interface of IDs", inIface(IDs{1, 2}))
	add("interface of Labels", inIface(Labels{"a": 1}))
	add("interface of time.Time", inIface(time.Unix(1, 0).UTC()))
	add("interface of *big.Int", inIface(bigOf("123456789012345678901234567890")))
	add("interface of Secret", inIface(Secret{"abc"}))
	add("interface of map[string]any", inIface(map[string]any{"k": map[string]any{"n": 1}}))
	add("interface of []any", inIface([]any{1, []any{"x", nil}, Point{1, 2}}))
	add("interface of [2]int", inIface([2]int{1, 2}))
	add("interface of Chain", inIface(Chain{1, &Chain{2, nil}}))
	add("interface of Scalars", inIface(Scalars{Str: "s"}))
	add("Iface of Point, twice", Iface{Point{22, 33}}, Iface{Point{1, 1}})
	add("Iface of Inner of Point", Iface{Inner{Point{1, 2}}})
	add("Iface of Inner of Inner of Inner", Iface{Inner{Inner{Inner{Square{2}}}}}, Iface{Inner{Square{3}}})
	add("Iface nil", Iface{}, Iface{nil})
	add("Iface of int", Iface{7})
	add("[]any", []any{1, "x", nil, true})
	add("[]any of new types", []any{Point{1, 2}, Square{3}, Point{4, 5}, Inner{Level(1)}, &Circle{2}, nil})
	add("[]any empty", []any{})
	add("map[string]any", map[string]any{"key": "hello", "value": []byte("world")})
	add("map[string]any of one", map[string]any{"key": "hello"})
	add("map[string]any of new types", map[string]any{"p": Point{1, 2}, "s": Square{3}, "n": nil, "i": Inner{Point{3, 4}}})
	add("map[any]any", map[any]any{"k": 1})
	add("Shapes", Shapes{Square{1}, []Shape{&Circle{2}, nil, Square{3}}, map[string]Shape{"c": &Circle{4}}})
	add("Shapes nil", Shapes{})
	add("[]any of many kinds", []any{int8(1), []string{"s"}, time.Unix(5, 0).UTC(), bigOf("5"), map[string]any{"x": Point{1, 1}}, [2]int{3, 4}, Secret{"q"}, IDs{9}})
	add("values, new types between them", Iface{Point{1, 2}}, "text", []any{Square{1}}, Point{3, 4}, Rec{"r", nil}, Iface{Inner{nil}})

	for _, t := range []time.Time{{}, time.Unix(0, 0).UTC(), time.Date(2024, 1, 2, 3, 4, 5, 6, time.UTC), time.Date(2024, 1, 2, 3, 4, 5, 0, time.FixedZone("", 5*3600+1800)), time.Date(2024, 12, 31, 23, 59, 59, 999999999, time.FixedZone("", 3600+7)), time.Date(2024, 1, 1, 0, 0, 0, 0, time.FixedZone("", 0)), time.Date(-5000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(200000, 1, 1, 0, 0, 0, 1, time.UTC), time.Date(1969, 12, 31, 23, 59, 59, 500000000, time.UTC), time.Date(2024, 1, 1, 0, 0, 0, 0, time.FixedZone("", -12*3600))} {
		add("time "+t.Format(time.RFC3339Nano), t)
	}
	for _, n := range []string{"0", "1", "-1", "255", "256", "-258", "0xffffffffffffffff", "123456789012345678901234567890", "-0x1" + strings.Repeat("0", 64)} {
		add("big.Int "+n, bigOf(n))
	}
	add("url.URL", mustURL("https://user:pass@example.com:8080/a%20b?q=1#frag"))
	add("netip.Addr", netip.MustParseAddr("192.0.2.1"))
	add("netip.Addr 6", netip.MustParseAddr("2001:db8::1"))
	add("Secret", Secret{"abc"})
	add("Packed", &Packed{1, 2})
	add("Opaques zero", &Opaques{})
	add("Opaques full", &Opaques{time.Unix(1, 2).UTC(), ptr(time.Unix(3, 4).UTC()), bigOf("-5"), *bigOf("6"), mustURL("http://example.com/x"), netip.MustParseAddr("::1"), Secret{"s"}, &Secret{"t"}, Packed{7, 8}})
	add("Opaques of zeros", &Opaques{AtP: &time.Time{}, N: new(big.Int), SecretP: &Secret{}})
	return all
}
