// net/rpc with a host in Go, which measures by itself; the plugin is in Go or in TypeScript.

import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { kill } from '../harness/children.ts'
import type { Figures, Limit } from '../harness/subject.ts'
import { goProgram } from './go-program.ts'

export async function open(variant: string): Promise<Limit> {
  const program = goProgram()
  const plugin = variant === 'go' ? [program, 'plugin'] : [process.execPath, fileURLToPath(new URL('./plugin.js', import.meta.url))]
  const child: ChildProcess = spawn(program, ['host', ...plugin], { stdio: ['pipe', 'pipe', 'inherit'] })
  const { stdin, stdout } = child
  if (stdin === null || stdout === null) throw new Error('no pipes')
  const lines = createInterface({ input: stdout })[Symbol.asyncIterator]()
  const answer = async (): Promise<Figures> => {
    const { value, done } = await lines.next()
    if (done) throw new Error('the host in Go has ended')
    return JSON.parse(value) as Figures
  }
  const ask = (...words: (string | number)[]): Promise<Figures> => {
    stdin.write(`${words.map(word => (typeof word === 'number' ? Math.round(word) : word)).join(' ')}\n`)
    return answer()
  }
  await answer()
  return {
    pid: child.pid,
    latency: (payload, milliseconds) => ask('latency', payload, milliseconds),
    inFlight: (payload, together, milliseconds) => ask('flight', payload, together, milliseconds),
    upload: async totalBytes => void (await ask('upload', totalBytes)),
    download: async totalBytes => void (await ask('download', totalBytes)),
    async close() {
      // So that it ends its plugin.
      stdin.end()
      await Promise.race([new Promise(resolve => child.once('exit', resolve)), new Promise(resolve => setTimeout(resolve, 3_000).unref())])
      await kill(child)
    },
  }
}
