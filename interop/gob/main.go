// Command gob is Go's side of the tests of packages/netrpc/src/gob: it knows nothing but the standard library.
//
//	gob corpus        writes the golden values as JSON: what Go's encoder made of them, their types and their values
//	gob one NAME      one case of them, encoded by a process that has encoded nothing before, so that type ids are as in the wire's rules
//	gob serve         answers one JSON request per line: decode these bytes into this type, encode this value
package main

import (
	"bufio"
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"reflect"
)

func main() {
	register()
	if len(os.Args) == 2 && os.Args[1] == "corpus" {
		corpus()
	} else if len(os.Args) == 3 && os.Args[1] == "one" {
		fmt.Println(hex.EncodeToString(encodeCase(find(os.Args[2]))))
	} else if len(os.Args) == 2 && os.Args[1] == "serve" {
		serve()
	} else {
		fmt.Fprintln(os.Stderr, "usage: gob corpus | one NAME | serve")
		os.Exit(2)
	}
}

type item struct {
	Type  any `json:"type"`
	Value any `json:"value"`
	// What a Go program decodes, where that is something else: pointers to zero are lost.
	Decoded any `json:"decoded"`
}

type golden struct {
	Name string `json:"name"`
	Hex  string `json:"hex"`
	// Encoding the same values again must give the same bytes: no map of several entries, no definitions inside a value.
	Exact bool   `json:"exact"`
	Items []item `json:"items"`
}

func corpus() {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	registry := map[string]any{}
	for name, value := range registered {
		registry[name] = describe(reflect.TypeOf(value), map[reflect.Type]bool{})
	}
	line, err := json.Marshal(registry)
	check(err)
	fmt.Fprintf(out, "{\"registry\":%s,\n\"cases\":[\n", line)
	for i, c := range cases() {
		printed, err := exec.Command(os.Args[0], "one", c.name).Output()
		check(err)
		g := golden{Name: c.name, Hex: string(bytes.TrimSpace(printed)), Exact: true}
		told := answer(request{Case: c.name, Hex: g.Hex})
		if told.Error != "" {
			panic(c.name + ": " + told.Error)
		}
		for i, value := range c.values {
			v := reflect.ValueOf(value)
			// A pointer to an interface is how Go sends an interface at top level.
			if v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Interface {
				v = v.Elem()
			}
			g.Items = append(g.Items, item{describe(v.Type(), map[reflect.Type]bool{}), neutral(v), told.Value.([]any)[i]})
			g.Exact = g.Exact && determined(v)
		}
		line, err := json.Marshal(g)
		check(err)
		if i > 0 {
			fmt.Fprint(out, ",\n")
		}
		out.Write(line)
	}
	fmt.Fprint(out, "\n]}\n")
}

func find(name string) testCase {
	for _, c := range cases() {
		if c.name == name {
			return c
		}
	}
	panic("no case " + name)
}

func encodeCase(c testCase) []byte {
	var buffer bytes.Buffer
	encoder := gob.NewEncoder(&buffer)
	for _, value := range c.values {
		check(encoder.Encode(value))
	}
	return buffer.Bytes()
}

type request struct {
	// Decode into the types of this case and compare with its values.
	Case string `json:"case"`
	// Or: into a type built from this description.
	Type     json.RawMessage            `json:"type"`
	Registry map[string]json.RawMessage `json:"registry"`
	// Given to the encoder.
	Value json.RawMessage `json:"value"`
	// Given to the decoder.
	Hex string `json:"hex"`
}

type response struct {
	Error string `json:"error,omitempty"`
	Value any    `json:"value"`
	Hex   string `json:"hex,omitempty"`
}

func serve() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked request
		check(json.Unmarshal(lines.Bytes(), &asked))
		check(out.Encode(answer(asked)))
	}
}

func answer(asked request) (told response) {
	defer func() {
		if failure := recover(); failure != nil {
			told = response{Error: fmt.Sprint(failure)}
		}
	}()
	raw, err := hex.DecodeString(asked.Hex)
	check(err)
	if asked.Case != "" {
		decoder := gob.NewDecoder(bytes.NewReader(raw))
		values := []any{}
		for _, value := range find(asked.Case).values {
			rt := reflect.TypeOf(value)
			into := reflect.New(rt)
			if rt.Kind() == reflect.Pointer && rt.Elem().Kind() == reflect.Interface {
				into = reflect.New(rt.Elem())
			}
			if err := decoder.DecodeValue(into); err != nil {
				return response{Error: err.Error()}
			}
			values = append(values, neutral(into.Elem()))
		}
		return response{Value: values}
	}
	for name, description := range asked.Registry {
		gob.RegisterName(name, reflect.New(build(description)).Elem().Interface())
	}
	rt := build(asked.Type)
	decoded := reflect.New(rt)
	if err := gob.NewDecoder(bytes.NewReader(raw)).DecodeValue(decoded); err != nil {
		return response{Error: err.Error()}
	}
	told.Value = neutral(decoded.Elem())
	given := reflect.New(rt)
	fill(given.Elem(), asked.Value)
	var buffer bytes.Buffer
	if rt.Kind() == reflect.Interface {
		err = gob.NewEncoder(&buffer).EncodeValue(given)
	} else {
		err = gob.NewEncoder(&buffer).EncodeValue(given.Elem())
	}
	check(err)
	told.Hex = hex.EncodeToString(buffer.Bytes())
	return told
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
