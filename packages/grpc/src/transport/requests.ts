// How the requests of a call reach its stream: one message, or those of an iterable.

import type { CallCarrier, ClientCall } from './client-call.ts'
import { GrpcError } from './grpc-error.ts'
import { endWithMessage, Outflow } from './outflow.ts'
import type { RequestStream } from './seam.ts'
import { Status } from './status.ts'

export interface Requests {
  /** Can be sent once more, on another connection, when the first refused to look at the call. */
  repeatable: boolean
  /** Begins the call on a connection and sends. Throws what opening the stream throws. */
  send(call: ClientCall, carrier: CallCarrier): void
  /** The call has ended: nothing more is wanted. */
  stop(): void
}

export class OneRequest implements Requests {
  repeatable = true
  readonly #message: Uint8Array

  constructor(message: Uint8Array) {
    this.#message = message
  }

  send(call: ClientCall, carrier: CallCarrier): void {
    const stream = call.begin(carrier)
    if (stream !== undefined) endWithMessage(stream, this.#message)
  }

  stop(): void {}
}

export class ManyRequests<Request> implements Requests {
  readonly repeatable = false
  readonly #outflow: Outflow<Request>
  readonly #serialize: (request: Request) => Uint8Array

  constructor(source: RequestStream<Request>, serialize: (request: Request) => Uint8Array) {
    this.#outflow = new Outflow(source)
    this.#serialize = serialize
  }

  send(call: ClientCall, carrier: CallCarrier): void {
    const stream = call.begin(carrier)
    if (stream === undefined) return
    this.#outflow.run(stream, this.#serialize).then(
      () => {
        if (!call.ended) stream.end()
      },
      cause =>
        call.fail(
          cause instanceof GrpcError
            ? cause
            : new GrpcError(
                Status.CANCELLED,
                `the requests ended with an error: ${cause instanceof Error ? cause.message : String(cause)}`,
                { cause },
              ),
        ),
    )
  }

  stop(): void {
    this.#outflow.stop()
  }
}
