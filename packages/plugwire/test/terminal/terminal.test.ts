// A plugin in its host's terminal, a real one: the pseudo-terminal of script(1).

import assert from 'node:assert/strict'
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { testWorld } from 'plugwire/testing'

const talkerHost = fileURLToPath(new URL('../fixtures/talker-host.js', import.meta.url))
const skip =
  process.platform !== 'linux' || spawnSync('script', ['--version']).error !== undefined
    ? 'CI must not skip: there is no script(1) of util-linux to make a terminal with'
    : false

/** What stands on a terminal, and a keyboard. */
class Terminal {
  readonly #child: ChildProcessWithoutNullStreams
  #screen = ''
  #wake = (): void => {}
  readonly ended: Promise<unknown>

  constructor(way: string, journal: string, options?: object) {
    const { FORCE_COLOR: _, NO_COLOR: __, NODE_DISABLE_COLORS: ___, CI: ____, ...env } = process.env
    const words = [process.execPath, talkerHost, way, journal, ...(options === undefined ? [] : [JSON.stringify(options)])]
    const command = `exec ${words.map(word => `'${word}'`).join(' ')}`
    this.#child = spawn('script', ['-qec', command, '/dev/null'], { env: { ...env, TERM: 'xterm-256color', SHELL: '/bin/sh' } })
    this.#child.stdout.on('data', chunk => {
      this.#screen += chunk
      this.#wake()
    })
    this.ended = once(this.#child, 'exit').then(() => this.#wake())
  }

  get pid(): number {
    return this.#child.pid as number
  }

  get screen(): string {
    return this.#screen
  }

  type(keys: string): void {
    this.#child.stdin.write(keys)
  }

  async shows(text: string): Promise<void> {
    while (!this.#screen.includes(text)) {
      if (this.#child.exitCode !== null) assert.fail(`the terminal ended without ${text}: ${this.#screen}`)
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
  }
}

async function inTerminal(way: string, use: (terminal: Terminal) => Promise<void>, options?: object): Promise<unknown[]> {
  await using world = await testWorld()
  const journal = join(world.dir, 'journal')
  const terminal = new Terminal(way, journal, options)
  world.watch(terminal.pid)
  await use(terminal)
  await terminal.ended
  return readFileSync(journal, 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as unknown)
}

const nothing = async (): Promise<void> => {}
const told = { closed: 'told' }

for (const [wire, options] of [
  ['fd', { terminal: true }],
  ['unix', { terminal: true, wire: 'unix' }],
] as const) {
  test(`${wire}: the plugin has the terminal: it says so, with its size and colours`, { skip }, async () => {
    const [facts, closed] = (await inTerminal('facts', nothing, options)) as [Record<string, unknown>, unknown]
    // Where the handshake comes on stdout, that is copied to the terminal rather than being it.
    assert.deepEqual([facts['stdin'], facts['stdout'], facts['stderr'], facts['forced']], [true, wire === 'fd', true, null])
    if (wire === 'fd') assert.equal(facts['colours'], 8)
    assert.deepEqual(closed, told)
  })

  test(`${wire}: a prompt of the plugin reads what is typed`, { skip }, async () => {
    const notes = await inTerminal(
      'ask',
      async terminal => {
        await terminal.shows('name> ')
        terminal.type('Ada Lovelace\r')
      },
      options,
    )
    assert.deepEqual(notes, ['Ada Lovelace', told])
  })

  test(`${wire}: raw mode works in the plugin`, { skip }, async () => {
    const notes = await inTerminal(
      'raw',
      async terminal => {
        await terminal.shows('press>')
        terminal.type('\u001b[A')
      },
      options,
    )
    assert.deepEqual(notes, [{ raw: true, key: '1b5b41', restored: true }, told])
  })

  test(`${wire}: a child of the plugin reads from /dev/tty`, { skip }, async () => {
    const notes = await inTerminal(
      'shell',
      async terminal => {
        await terminal.shows('tty>')
        terminal.type('typed\r')
      },
      options,
    )
    assert.deepEqual(notes, ['typed', told])
  })

  test(`${wire}: Ctrl-C reaches host and plugin, and the host decides`, { skip }, async () => {
    const notes = await inTerminal(
      'interrupt',
      async terminal => {
        await terminal.shows('ready>')
        terminal.type('\u0003')
      },
      options,
    )
    assert.deepEqual(notes, [{ stillThere: 1, state: 'ready' }, told])
  })
}

test('a plugin without the terminal is not reached by Ctrl-C', { skip }, async () => {
  const notes = await inTerminal(
    'interrupt',
    async terminal => {
      await terminal.shows('ready>')
      terminal.type('\u0003')
    },
    {},
  )
  assert.deepEqual(notes, [{ stillThere: 1, state: 'ready' }, told])
})

test('a storm of output in the terminal breaks nothing', { skip }, async () => {
  let screen = ''
  const notes = await inTerminal('storm', async terminal => {
    await terminal.ended
    screen = terminal.screen
  })
  assert.deepEqual(notes, ['done', told])
  for (const line of ['line 0\r\n', 'line 1999\r\n', 'error 0\r\n', 'error 1999\r\n', 'straight\r\n', 'from a child\r\n'])
    assert.ok(screen.includes(line), line)
})
