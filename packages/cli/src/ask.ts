// Questions to a person, on the terminal and nowhere else: answers never come out of a pipe by accident. Knows no command.

import { createInterface } from 'node:readline/promises'

/** Whether there is somebody to ask. */
export const canAsk = (): boolean => process.stdin.isTTY === true && process.stderr.isTTY === true

/** Asks for yes or no; anything but a yes is a no. */
export async function confirm(question: string, signal: AbortSignal): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return /^y(es)?$/i.test((await lines.question(`${question} [y/N] `, { signal })).trim())
  } finally {
    lines.close()
  }
}

/** Asks for a text that is not shown while it is typed. */
export async function askSecret(question: string, signal: AbortSignal): Promise<string> {
  const { stdin, stderr } = process
  // Silent before it asks: some type faster than we read.
  stdin.setRawMode(true)
  stdin.resume()
  stderr.write(`${question}: `)
  let read: (bytes: Buffer) => void = () => {}
  try {
    return await new Promise((resolve, reject) => {
      let typed = ''
      read = bytes => {
        for (const letter of bytes.toString('utf8')) {
          if (letter === '\r' || letter === '\n') return resolve(typed)
          // In raw mode the terminal makes no signal of Ctrl-C.
          if (letter === '\u0003') return void process.kill(process.pid, 'SIGINT')
          typed = letter === '\u007f' || letter === '\b' ? [...typed].slice(0, -1).join('') : typed + letter
        }
      }
      stdin.on('data', read)
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
    })
  } finally {
    stdin.off('data', read)
    stdin.setRawMode(false)
    stdin.pause()
    stderr.write('\n')
  }
}
