// The other half of the example, with hashicorp's own go-plugin: `greeter plugin` serves the interface, `greeter host <plugin command…>` uses it.
package main

import (
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
)

type Greeting struct {
	Name  string
	Times int
}

type Travel struct {
	Places []string
	Card   uint32 // whoever gets this calls Plugin.Call(place string) behind it, once for each place
}

// #region plugin
// Greeter is what the plugin serves. net/rpc: one argument, one result, an error.
type Greeter struct{ broker *plugin.MuxBroker }

func (*Greeter) Greet(greeting Greeting, text *string) error {
	if greeting.Name == "" {
		return fmt.Errorf("nobody to greet")
	}
	*text = strings.TrimSpace(strings.Repeat("hello "+greeting.Name+" ", greeting.Times))
	return nil
}

// Visit sends a card from each place: a function of the host, behind a broker id.
func (g *Greeter) Visit(travel Travel, cards *int) error {
	stream, err := g.broker.Dial(travel.Card)
	if err != nil {
		return err
	}
	card := rpc.NewClient(stream)
	defer card.Close()
	for _, place := range travel.Places {
		if err := card.Call("Plugin.Call", place, new(any)); err != nil {
			return err
		}
		*cards++
	}
	return nil
}

// Letter answers with the id of a stream from which the letter can be read.
func (g *Greeter) Letter(name string, id *uint32) error {
	*id = g.broker.NextId()
	go func(id uint32) {
		if stream, err := g.broker.Accept(id); err == nil {
			defer stream.Close()
			fmt.Fprintf(stream, "dear %s, this letter has %d pages", name, 3)
		}
	}(*id)
	return nil
}

// #endregion

// Remote is what the host gets when it dispenses.
type Remote struct {
	*rpc.Client
	broker *plugin.MuxBroker
}

// Card is what the host serves behind the id that it gives to Visit.
type Card struct{}

func (Card) Call(place string, _ *any) error {
	fmt.Println("  a card from", place)
	return nil
}

func host(command []string) error {
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: handshake, Plugins: plugins, Cmd: exec.Command(command[0], command[1:]...), Logger: hclog.NewNullLogger(),
	})
	defer client.Kill()
	connection, err := client.Client()
	if err != nil {
		return err
	}
	dispensed, err := connection.Dispense("greeter")
	if err != nil {
		return err
	}
	greeter := dispensed.(*Remote)

	var text string
	if err := greeter.Call("Plugin.Greet", Greeting{"Ada", 2}, &text); err != nil {
		return err
	}
	fmt.Println(" ", text)
	if err := greeter.Call("Plugin.Greet", Greeting{}, &text); err != nil {
		fmt.Println("  refused:", err)
	}

	id := greeter.broker.NextId()
	go greeter.broker.AcceptAndServe(id, Card{})
	var cards int
	if err := greeter.Call("Plugin.Visit", Travel{[]string{"Oslo", "Quito"}, id}, &cards); err != nil {
		return err
	}
	fmt.Println(" ", cards, "cards")

	if err := greeter.Call("Plugin.Letter", "Ada", &id); err != nil {
		return err
	}
	stream, err := greeter.broker.Dial(id)
	if err != nil {
		return err
	}
	letter, err := io.ReadAll(stream)
	fmt.Println(" ", string(letter))
	return err
}

type kind struct{}

func (kind) Server(broker *plugin.MuxBroker) (any, error) { return &Greeter{broker}, nil }
func (kind) Client(broker *plugin.MuxBroker, client *rpc.Client) (any, error) {
	return &Remote{client, broker}, nil
}

var handshake = plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "GREETER", MagicCookieValue: "hello"}
var plugins = plugin.PluginSet{"greeter": kind{}}

func main() {
	if os.Args[1] == "plugin" {
		plugin.Serve(&plugin.ServeConfig{HandshakeConfig: handshake, Plugins: plugins, Logger: hclog.NewNullLogger()})
	} else if err := host(os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
