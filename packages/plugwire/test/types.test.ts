// What the compiler says of a bad contract, and what it shows of a good one: the text that a person reads is the product here.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { before, test } from 'node:test'

const declarations = join(import.meta.dirname, '..', '..', 'dist', 'types')
const manifest = createRequire(import.meta.url).resolve('typescript/package.json')
const compiler = join(dirname(manifest), 'bin', 'tsc')
const nodeTypes = join(dirname(manifest), '..', '@types')

/** Compiles TypeScript files against the declarations of this package; the compiler's messages by file. */
async function compile(files: Record<string, string>, options: object): Promise<Map<string, string>> {
  const directory = await mkdtemp(join(tmpdir(), 'plugwire-types-'))
  try {
    await writeFile(join(directory, 'package.json'), '{ "type": "module" }')
    const compilerOptions = { module: 'nodenext', target: 'es2022', strict: true, noEmit: true, ...options }
    await writeFile(
      join(directory, 'tsconfig.json'),
      JSON.stringify({ compilerOptions, files: Object.keys(files).map(name => `${name}.ts`) }),
    )
    for (const [name, text] of Object.entries(files)) {
      const imports = `import { contract, kind, byRef, type Kind, type ByRef, type Remote } from ${JSON.stringify(join(declarations, 'index.js'))}\n`
      await writeFile(join(directory, `${name}.ts`), imports + text)
    }
    const output = await new Promise<string>(resolve => {
      execFile(process.execPath, [compiler, '--pretty', 'false', '-p', directory], { cwd: directory }, (_, stdout, stderr) =>
        resolve(stdout + stderr),
      )
    })
    const messages = new Map<string, string>()
    let file = ''
    for (const line of output.split('\n')) {
      if (line === '') continue
      file = /^([^(\s]+)\(\d+,\d+\): error/.exec(line)?.[1] ?? (line.startsWith(' ') ? file : 'other')
      const name = file.replace(/^.*[\\/]/, '').replace(/\.ts$/, '')
      messages.set(name, `${messages.get(name) ?? ''}${line}\n`)
    }
    return messages
  } finally {
    await rm(directory, { recursive: true })
  }
}

const strictConsumer = { lib: ['es2022', 'esnext.disposable'], types: [], skipLibCheck: false, exactOptionalPropertyTypes: true }

/** Bad interfaces, and what the message has to say. */
const bad: Record<string, [members: string, says: string]> = {
  property: ['size: number', `"plugwire: 'size' is not a method"`],
  symbol: ['get(key: symbol): string', `"plugwire: 'get' argument 1 is a symbol"`],
  promise: ['put(key: string, value: Promise<string>): void', `"plugwire: 'put' argument 2 is a promise; await it first"`],
  nested: ['put(rows: { cache: WeakMap<object, string> }[]): void', `"plugwire: 'put' argument 1[].cache is a WeakMap"`],
  result: ['all(): Promise<Map<string, WeakRef<object>>>', `"plugwire: 'all' result.value is a WeakRef"`],
  callback: ['each(visit: (key: symbol) => void): void', `"plugwire: 'each' argument 1, a function, whose argument 1 is a symbol"`],
  stream: ['watch(): AsyncIterable<{ id: symbol }>', `"plugwire: 'watch' result[].id is a symbol"`],
  generator: ['list(): Generator<string>', `"plugwire: 'list' result is a generator; an async generator can travel"`],
  constructed: ['make(type: new () => object): void', `"plugwire: 'make' argument 1 is a class"`],
  copied: [
    'open(): Promise<{ next(): string }>',
    `"plugwire: 'open' result has only methods and would arrive empty; give it [Symbol.asyncDispose] or make it ByRef"`,
  ],
  thenable: ['then(done: () => void): void', `"plugwire: 'then' cannot be the name of a remote method"`],
  hidden: ['_flush(): void', `"plugwire: '_flush' begins with an underscore, which keeps a method private"`],
  optional: ['get(key: string, token?: symbol): void', `"plugwire: 'get' argument 2 is a symbol"`],
}

const good = `
interface Row { key: string; value: Uint8Array; parent?: Row }
interface Cursor { next(): Row | undefined }
interface Store {
  get(key: string): Promise<Row | undefined>
  count(): number
  watch(prefix: string): AsyncIterable<Row>
  open(): ByRef<Cursor>
  each(visit: (row: Row) => void): void
}
export const kv = contract<{ store: Store; tuned: Kind<Store, { region: string }> }>({ name: 'kv', version: 1 })
export const kv2 = contract({ name: 'kv', versions: { 1: { store: kind<Store>() }, 2: { store: kind<Store>(), extra: kind<Cursor>() } } })
export const marked = byRef({ next: () => undefined })
export declare const store: Remote<Store>
`

let messages: Map<string, string>

before(async () => {
  const files: Record<string, string> = { good }
  for (const [name, [members]] of Object.entries(bad)) {
    files[name] =
      `export interface Bad { fine(a: string): void; ${members} }\nexport const c = contract<{ store: Bad }>({ name: 'bad', version: 1 })\n`
    files[`${name}_typed`] =
      `export interface Bad { fine(a: string): void; ${members} }\nexport const c = contract<{ store: Kind<Bad, { region: string }> }>({ name: 'bad', version: 1 })\n`
    files[`${name}_kind`] = `export interface Bad { fine(a: string): void; ${members} }\nexport const k = kind<Bad>()\n`
  }
  files['shown'] = `${good}
export const v: 0 = store
export const a: 0 = store.get
export const b: 0 = store.count
export const c: 0 = store.watch
export const d: 0 = store.open
export const e: 0 = store.each
`
  files['empty'] = `export const c = contract<{ store: {} }>({ name: 'bad', version: 1 })`
  files['text'] = `export const c = contract<{ store: string }>({ name: 'bad', version: 1 })`
  messages = await compile(files, strictConsumer)
})

test('a program without the types of Node or of a browser compiles, library declarations checked', () => {
  assert.equal(messages.get('good'), undefined)
  const unexpected = [...messages.keys()].filter(
    name => !(name.replace(/_(kind|typed)$/, '') in bad) && !['shown', 'empty', 'text'].includes(name),
  )
  assert.deepEqual(
    unexpected.map(name => messages.get(name)),
    [],
  )
})

test('the same program compiles with the types of Node and with those of a browser', async () => {
  const types = `${good}
interface Streams { web(a: ReadableStream<Uint8Array>, b: URL, c: AbortSignal): WritableStream<string> }
contract<{ streams: Streams }>({ name: 'streams', version: 1 })
declare const streams: Remote<Streams>
export const sent: Promise<WritableStream<string>> = streams.web(null!, null!, null!)
`
  const node = await compile(
    { types },
    { lib: ['es2023', 'esnext.disposable'], types: ['node'], typeRoots: [nodeTypes], skipLibCheck: true },
  )
  assert.deepEqual([...node], [])
  const browser = await compile(
    { types },
    { lib: ['es2023', 'esnext.disposable', 'dom', 'dom.asynciterable'], types: [], skipLibCheck: false },
  )
  assert.deepEqual([...browser], [])
})

for (const [name, [members, says]] of Object.entries(bad)) {
  test(`the compiler refuses "${members}" and says why`, () => {
    for (const file of [name, `${name}_kind`, `${name}_typed`]) {
      const message = messages.get(file) ?? 'no error'
      assert.ok(message.includes(says), message)
      assert.match(message.split('\n')[0]!, /\(3,\d+\): error TS2344/, 'the error stands where the contract is made')
      assert.equal(message.match(/error TS/g)?.length, 1, message)
    }
  })
}

test('the compiler refuses a kind that is no interface', () => {
  assert.match(messages.get('empty') ?? '', /a kind needs at least one method/)
  assert.match(messages.get('text') ?? '', /a kind is an interface of methods/)
})

test('a remote object is shown as a person would write it', () => {
  const shown = messages.get('shown')!.match(/(?<=Type '|in type ')\S.*(?=' is not assignable)/gm)
  assert.deepEqual(shown, [
    'Remote<Store>',
    '(key: string) => Promise<Row | undefined>',
    '() => Promise<number>',
    '(prefix: string) => AsyncIterable<Row>',
    '() => Promise<Remote<Cursor>>',
    '(visit: (row: Row) => void) => Promise<void>',
  ])
})
