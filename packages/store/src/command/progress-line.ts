// The one line that says what is fetched: on a terminal it changes while it is, elsewhere it is written when it is done.

import type { Writable } from 'node:stream'
import type { InstallEvent } from '../install/events.ts'
import type { HttpRetry } from '../sources/http/client.ts'

/** Milliseconds between two changes. */
const PAUSE_MS = 100

export class ProgressLine {
  readonly #stream: Writable & { readonly isTTY?: boolean; readonly columns?: number }
  readonly #before: string
  readonly #notes: string[] = []
  #from = ''
  #by = ''
  #isDrawn = false
  #drawnAt = Number.NEGATIVE_INFINITY

  /** @param before What the line begins with. */
  constructor(stream: Writable, before: string) {
    this.#stream = stream
    this.#before = before
  }

  readonly take = (event: InstallEvent): void => {
    const plugin = `${event.name} ${event.version}`
    switch (event.kind) {
      case 'resolved':
        this.#from = event.address
        this.#draw(`fetching ${plugin}`)
        break
      case 'finding':
        if (event.finding.state !== 'valid') this.#notes.push(event.finding.text)
        break
      case 'verified':
        this.#by = event.signers.map(({ publisher, fingerprint }) => `signed by ${publisher} ${fingerprint}`).join(' and ') || 'unsigned'
        break
      case 'fetch': {
        const { receivedBytes, totalBytes } = event
        if (performance.now() - this.#drawnAt < PAUSE_MS) break
        const part = totalBytes ? `${Math.floor((receivedBytes / totalBytes) * 100)} % of ${sizeText(totalBytes)}` : sizeText(receivedBytes)
        this.#draw(`fetching ${plugin}  ${part}`)
        break
      }
      case 'locked':
        this.clear()
        this.#stream.write(
          `${this.#before}${inOneLine(`fetched ${plugin} from ${this.#from}, ${[this.#by, ...this.#notes].join('; ')}`)}\n`,
        )
    }
  }

  /** Something did not work and is tried again: a line of its own everywhere, or nobody would know what is waited for. */
  readonly retry = ({ subject, reason, delayMs }: HttpRetry): void => {
    this.clear()
    const text = `${subject}: ${reason}; trying again in ${(delayMs / 1_000).toFixed(1)} s`
    this.#stream.write(`${this.#before}${inOneLine(text)}\n`)
  }

  /** Takes an unfinished line away: something else is to be said. */
  clear(): void {
    if (this.#isDrawn) this.#stream.write('\r\u001b[K')
    this.#isDrawn = false
  }

  #draw(text: string): void {
    if (this.#stream.isTTY !== true) return
    this.#drawnAt = performance.now()
    this.#isDrawn = true
    this.#stream.write(`\r\u001b[K${`${this.#before}${inOneLine(text)}`.slice(0, Math.max(20, (this.#stream.columns || 80) - 1))}`)
  }
}

/** Without what a terminal would take for a command: parts of it come from strangers. */
export const inOneLine = (text: string): string => text.replace(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu, ' ')

function sizeText(bytes: number): string {
  const power = bytes < 1_000 ? 0 : Math.min(3, Math.floor(Math.log10(bytes) / 3))
  return power === 0 ? `${bytes} B` : `${(bytes / 1_000 ** power).toFixed(1)} ${['B', 'kB', 'MB', 'GB'][power]}`
}
