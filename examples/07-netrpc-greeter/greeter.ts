// The interface, for both sides: what go/main.go has in Go. Methods have one argument and one result there, and names with a capital.
import { callback, method, netrpc, nothing, reader } from '@plugwire/netrpc'
import { int, slice, string, struct } from '@plugwire/netrpc/gob'
import { contract } from 'plugwire'

export const greeter = contract({
  name: 'greeter',
  cookie: { key: 'GREETER', value: 'hello' },
  versions: {
    1: {
      greeter: netrpc({
        Greet: method(struct({ Name: string, Times: int }), string),
        /** `Card` is a function. In Go it is a `uint32`, an id of the broker. */
        Visit: method(struct({ Places: slice(string), Card: callback(string, nothing) }), int),
        /** The result is a stream: again an id in Go. */
        Letter: method(string, reader()),
      }),
    },
  },
})
