// The broker in the hands of the application, for what the schemas of methods do not say: ids of its own, as programs in Go use them.

import type { Duplex } from 'node:stream'
import { type ClientOf, type Methods, type ServerOf, wireMethods } from '../methods.ts'
import type { Carrier } from '../rpc/body.ts'
import { PLUGIN_SERVICE } from '../rpc/headers.ts'
import { carrierOf, remoteObject } from '../rpc/remote.ts'
import { brokeredDuplex } from './duplex.ts'
import { acceptService } from './objects.ts'

/**
 * Streams beside the calls of one connection, by number. The side that accepts takes the number from `nextId` and tells it to the other
 * by a call of its own; the other dials it. Either may come first, within five seconds.
 */
export interface Broker {
  /** A new id, for `accept` here and `dial` over there. */
  nextId(): number
  /**
   * The stream that the other side opens to an id of ours.
   *
   * @throws PluginError `ERR_BROKER_TIMEOUT` when nobody dials within 5 seconds, `ERR_BROKER_REFUSED` when the id is being accepted already.
   */
  accept(id: number): Promise<Duplex>
  /**
   * A stream to an id of the other side.
   *
   * @throws PluginError `ERR_BROKER_TIMEOUT` or `ERR_BROKER_REFUSED` when the other side does not accept it, or it is being dialled already.
   */
  dial(id: number): Promise<Duplex>
  /**
   * Accepts an id of ours and serves an object on it, as `Plugin`. Resolves when the other side has dialled; throws as `accept`.
   * Go: `broker.AcceptAndServe(id, object)`.
   */
  acceptAndServe<const M extends Methods>(id: number, methods: M, object: ServerOf<M>): Promise<void>
  /**
   * Dials an id of the other side for an object that is served there as `Plugin`; throws as `dial`.
   * Go: `conn, err := broker.Dial(id); client := rpc.NewClient(conn)`.
   */
  dialObject<const M extends Methods>(id: number, methods: M): Promise<ClientOf<M>>
}

/**
 * The broker of the connection that an instance belongs to: on a host what `dispense` gave, in a plugin what the factory returned, so
 * `brokerOf(this)` in its methods.
 *
 * @throws TypeError when the object belongs to no connection; in a plugin it does once its factory has returned it.
 */
export function brokerOf(instance: object): Broker {
  const carrier = carrierOf(instance)
  if (carrier === undefined) throw new TypeError('brokerOf takes an object that was dispensed by this protocol')
  return new BrokerHandle(carrier)
}

class BrokerHandle implements Broker {
  readonly #carrier: Carrier

  constructor(carrier: Carrier) {
    this.#carrier = carrier
  }

  nextId(): number {
    return this.#carrier.broker.nextId()
  }

  accept(id: number): Promise<Duplex> {
    return this.#holding(this.#carrier.broker.accept(id), stream => brokeredDuplex(this.#carrier, Promise.resolve(stream)))
  }

  dial(id: number): Promise<Duplex> {
    return this.#holding(this.#carrier.broker.dial(id), stream => brokeredDuplex(this.#carrier, Promise.resolve(stream)))
  }

  acceptAndServe<M extends Methods>(id: number, methods: M, object: ServerOf<M>): Promise<void> {
    return this.#holding(acceptService(this.#carrier, id, 'an object', wireMethods(PLUGIN_SERVICE, methods), object), () => undefined)
  }

  dialObject<M extends Methods>(id: number, methods: M): Promise<ClientOf<M>> {
    const wire = wireMethods(PLUGIN_SERVICE, methods)
    return this.#holding(this.#carrier.broker.dial(id), stream => remoteObject(this.#carrier, stream, 'an object', wire) as ClientOf<M>)
  }

  /** Keeps the event loop alive while somebody waits. */
  async #holding<T, R>(coming: Promise<T>, use: (value: T) => R): Promise<R> {
    this.#carrier.hold()
    try {
      return use(await coming)
    } finally {
      this.#carrier.letGo()
    }
  }
}
