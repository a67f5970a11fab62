// The command on a terminal of its own, with somebody at the keyboard: the pseudo-terminal of script(1).

import { spawn, spawnSync } from 'node:child_process'
import { bin, cleanEnvironment } from './command.ts'

export const noTerminal: string | false =
  process.platform !== 'linux' || spawnSync('script', ['--version']).error !== undefined
    ? 'CI must not skip: there is no script(1) of util-linux to make a terminal with'
    : false

/**
 * Runs the command to its end.
 * @param answers Each is typed when its question stands on the screen, in this order.
 */
export function onTerminal(
  args: readonly string[],
  options: { readonly cwd: string; readonly env?: Record<string, string> },
  answers: readonly (readonly [question: string, answer: string])[],
): Promise<{ readonly code: number | null; readonly screen: string }> {
  return new Promise((resolve, reject) => {
    const command = `exec ${[process.execPath, bin, ...args].map(word => `'${word}'`).join(' ')}`
    const env = { ...cleanEnvironment(), TERM: 'dumb', SHELL: '/bin/sh', ...options.env }
    const child = spawn('script', ['-qec', command, '/dev/null'], { cwd: options.cwd, env })
    let screen = ''
    let read = 0
    const left = [...answers]
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      screen += text
      const [next] = left
      const at = next === undefined ? -1 : screen.indexOf(next[0], read)
      if (next === undefined || at < 0) return
      read = at + next[0].length
      left.shift()
      child.stdin.write(next[1])
    })
    child.stdin.on('error', () => {}) // It may end before the last answer is read.
    child.on('error', reject).on('close', code => resolve({ code, screen }))
  })
}
