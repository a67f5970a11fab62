import { spawn } from 'node:child_process'
import { serve } from 'plugwire/plugin'
import { type Stage, stage } from './stage.ts'

const actor: Stage = {
  async terminal() {
    const colours = process.stdout.isTTY ? process.stdout.getColorDepth() : 1
    return { stdin: process.stdin.isTTY === true, stdout: process.stdout.isTTY === true, colours }
  },
  async startSomethingLong() {
    const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 3_600_000)'], { stdio: 'ignore' })
    return child.pid ?? 0
  },
  pid: async () => process.pid,
}

await serve(stage, { stage: () => actor })
