// What becomes of the answers to a call: one message for a promise, or many for an iterable.

import type { ClientCall, Receiver } from './client-call.ts'
import type { MethodDefinition } from './definition.ts'
import { GrpcError } from './grpc-error.ts'
import { Inbox } from './inbox.ts'
import type { ResponseStream } from './seam.ts'
import { Status } from './status.ts'

/** A receiver that has to know its call, to end it. */
export interface Answer extends Receiver {
  call: ClientCall | undefined
}

type Answered<Response> = Pick<MethodDefinition<never, Response>, 'path' | 'responseDeserialize'>

export class SingleResponse<Response> implements Answer {
  call: ClientCall | undefined
  readonly response: Promise<Response>
  readonly #method: Answered<Response>
  #message: Buffer | undefined
  #resolve!: (response: Response) => void
  #reject!: (error: unknown) => void

  constructor(method: Answered<Response>) {
    this.#method = method
    this.response = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  message(message: Buffer): void {
    if (this.#message === undefined) this.#message = message
    else this.call?.fail(new GrpcError(Status.UNIMPLEMENTED, `${this.#method.path} was answered with more than one message`))
  }

  ended(error: GrpcError | undefined): void {
    if (error !== undefined) return this.#reject(error)
    if (this.#message === undefined) {
      return this.#reject(new GrpcError(Status.UNIMPLEMENTED, `${this.#method.path} was answered without a message`))
    }
    try {
      this.#resolve(this.#method.responseDeserialize(this.#message))
    } catch (cause) {
      this.#reject(unreadable(this.#method.path, cause))
    }
  }
}

export class ManyResponses<Response> implements Answer {
  call: ClientCall | undefined
  readonly #inbox: Inbox<Response>

  constructor(method: Answered<Response>) {
    this.#inbox = new Inbox({
      decode: message => {
        try {
          return method.responseDeserialize(message)
        } catch (cause) {
          throw unreadable(method.path, cause)
        }
      },
      pause: () => this.call?.pause(),
      resume: () => this.call?.resume(),
      cancel: () => this.call?.fail(new GrpcError(Status.CANCELLED, `nobody reads what ${method.path} answers`)),
    })
  }

  get responses(): ResponseStream<Response> {
    return this.#inbox
  }

  message(message: Buffer): void {
    this.#inbox.push(message)
  }

  ended(error: GrpcError | undefined): void {
    if (error === undefined) this.#inbox.end()
    else this.#inbox.fail(error)
  }
}

function unreadable(path: string, cause: unknown): GrpcError {
  return new GrpcError(Status.INTERNAL, `an answer of ${path} cannot be read: ${(cause as Error).message}`, { cause })
}
