// A plugin that speaks our own protocol: its conversation is calls and references over one session.

import type { AnyContract } from '../contract.ts'
import { PluginError } from '../errors.ts'
import type { Limits } from '../limits.ts'
import type { Link } from '../mux/link.ts'
import type { Conversation } from '../process/driver.ts'
import type { Logger } from '../process/output.ts'
import type { CallOptions, Metadata } from '../rpc/call-context.ts'
import { Connection } from '../rpc/connection.ts'
import { hostMethods, type PluginDescription, PluginMethod } from '../rpc/roots.ts'
import { checkedRecord } from './logger.ts'
import { createPlugin, type Plugin, type PluginProcess } from './plugin.ts'

export interface PlugwirePluginOptions {
  readonly logger: Logger | undefined
  readonly limits: Partial<Limits> | undefined
  readonly metadata: (() => Metadata | undefined) | undefined
  readonly keepAliveMs: number | undefined
  /** Output that came over the connection. */
  readonly output: (descriptor: number, bytes: Uint8Array) => void
}

/** @internal Makes the plugin object of a process that has introduced itself, over the link to it. */
export function plugwirePlugin<C extends AnyContract>(
  contract: C,
  process: PluginProcess,
  link: Link,
  options: PlugwirePluginOptions,
): Plugin<C> {
  return createPlugin(contract, process, lost => new PlugwireConversation(link, process.name, options, lost))
}

class PlugwireConversation implements Conversation {
  readonly #connection: Connection

  constructor(link: Link, name: string, options: PlugwirePluginOptions, lost: (cause: PluginError | undefined) => Promise<PluginError>) {
    const { logger } = options
    this.#connection = new Connection(link, {
      role: 'host',
      peerName: name,
      root: {},
      rootMethods: hostMethods({
        log: (level, message, fields, time, module) => {
          const record = checkedRecord(name, level, message, fields, time, module)
          if (record !== undefined) report(logger, record)
        },
      }),
      ...(options.limits !== undefined && { limits: options.limits }),
      ...(options.metadata !== undefined && { metadata: options.metadata }),
      ...(options.keepAliveMs !== undefined && { keepAliveMs: options.keepAliveMs }),
      onOutput: options.output,
      onEnded: lost,
    })
  }

  get callsInFlight(): number {
    return this.#connection.callsInFlight
  }
  get callsServed(): number {
    return this.#connection.callsServed
  }
  get streamCount(): number {
    // One is that of the calls.
    return Math.max(0, this.#connection.session.streamCount - 1)
  }

  async dispense(kind: string, config: unknown): Promise<object> {
    const instance = await this.#connection.callRoot(PluginMethod.dispense, [kind, config], `dispense ${kind}`)
    if (typeof instance !== 'object' || instance === null) {
      throw new PluginError('ERR_CALL_FRAME', {
        reason: `the plugin dispensed ${kind} as ${instance === null ? 'null' : typeof instance}`,
        offset: 0,
      })
    }
    return instance
  }

  async ping(): Promise<number> {
    this.#connection.hold()
    try {
      return await this.#connection.session.ping()
    } finally {
      this.#connection.letGo()
    }
  }

  describe(options?: CallOptions): Promise<PluginDescription> {
    return this.#connection.callRoot(PluginMethod.describe, [], 'describe', options) as Promise<PluginDescription>
  }

  tellToEnd(): Promise<unknown> {
    return this.#connection.callRoot(PluginMethod.close, [], 'close').catch(() => undefined)
  }

  refuseCalls(reason: PluginError): void {
    this.#connection.refuseCalls(reason)
  }

  close(): void {
    this.#connection.close()
  }

  destroy(reason: PluginError): void {
    this.#connection.destroy(reason)
  }
}

function report(logger: Logger | undefined, record: Parameters<Logger>[0]): void {
  try {
    logger?.(record)
  } catch {
    // A logger that throws must not end the connection that brought the record.
  }
}
