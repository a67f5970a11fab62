// An npm registry on this machine, as far as reading from one goes.

import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename } from 'node:path'

export class Registry implements AsyncDisposable {
  readonly #server: Server
  readonly #files = new Map<string, Uint8Array>()
  readonly #packages = new Map<string, Record<string, object>>()
  #requests = 0

  private constructor() {
    this.#server = createServer((request, response) => {
      this.#requests++
      const found = this.#files.get(decodeURIComponent(request.url ?? ''))
      response.writeHead(found === undefined ? 404 : 200).end(found)
    })
  }

  static async start(): Promise<Registry> {
    const registry = new Registry()
    await new Promise<void>(resolve => registry.#server.listen(0, '127.0.0.1', resolve))
    return registry
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Requests since the last time that it was asked. */
  takeRequests(): number {
    const count = this.#requests
    this.#requests = 0
    return count
  }

  async publish(name: string, version: string, tarball: string): Promise<void> {
    const bytes = await readFile(tarball)
    const path = `/${name}/-/${basename(tarball)}`
    const versions = this.#packages.get(name) ?? {}
    const integrity = `sha512-${createHash('sha512').update(bytes).digest('base64')}`
    versions[version] = { name, version, dist: { tarball: this.url + path, integrity } }
    this.#packages.set(name, versions)
    this.#files.set(path, bytes)
    this.#files.set(`/${name}`, Buffer.from(JSON.stringify({ name, versions })))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }
}
