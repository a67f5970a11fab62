// Holds the pages to the program: error codes, limits, links, and code blocks that claim to be a file.
//
// A code block is held to a file by what follows its language:
//   ```ts file=examples/01-hello/store.ts                the whole file
//   ```ts file=examples/01-hello/host.ts#region          the lines between `// #region region` and `// #endregion`
//   ```ts file=packages/plugwire/src/x.ts#L3-L9          those lines
// Lines that only direct a linter and empty lines at either end do not count, and an indent that all lines share neither.
//
// `--fix` writes the files' text into the blocks.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, extname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { root } from './workspaces.mjs'

const { values: options } = parseArgs({ options: { fix: { type: 'boolean', default: false } } })
const complaints = []
const tracked = await trackedFiles()
const pages = new Map()
for (const file of tracked)
  if (extname(file) === '.md' && existsSync(join(root, file))) pages.set(file, await readFile(join(root, file), 'utf8'))

await checkErrors()
await checkLimits()
for (const [file, text] of pages) {
  checkLinks(file, text)
  await checkBlocks(file, text)
}
await checkAddresses()
await checkLockFile()

for (const complaint of complaints) console.error(`docs: ${complaint}`)
console.log(`docs: ${pages.size} pages, ${complaints.length === 0 ? 'ok' : `${complaints.length} wrong`}`)
process.exitCode = complaints.length === 0 ? 0 : 1

/** Every code has one row in docs/errors.md with a meaning and an advice, and every row has a code. */
async function checkErrors() {
  const source = await readFile(join(root, 'packages/plugwire/src/errors.ts'), 'utf8')
  const facts = /^export interface ErrorFacts \{$([\s\S]*?)^\}$/m.exec(source)?.[1] ?? ''
  const codes = new Set([...facts.matchAll(/^ {2}(ERR_[A-Z0-9_]+):/gm)].map(match => match[1]))
  if (codes.size === 0) complaints.push('no codes found in packages/plugwire/src/errors.ts (interface ErrorFacts)')
  const rows = rowsOf('docs/errors.md').filter(([name]) => name.startsWith('ERR_'))
  compareNames('docs/errors.md', 'packages/plugwire/src/errors.ts', rows, codes)
  for (const [name, meaning, advice] of rows)
    if (!meaning || !advice) complaints.push(`docs/errors.md: ${name} lacks a meaning or an advice`)
  for (const [file, text] of pages) {
    for (const [code] of text.matchAll(/\bERR_[A-Z0-9_]*[A-Z0-9]\b/g)) {
      if (!codes.has(code) && !/^ERR_(?:MODULE|UNKNOWN|IPC|SOCKET_BAD|STREAM_PREMATURE)/.test(code))
        complaints.push(`${file}: no such code as ${code}`)
    }
  }
}

/** Every limit has one row in docs/limits.md with the number it really has. */
async function checkLimits() {
  const built = join(root, 'packages/plugwire/build/src/limits.js')
  if (!existsSync(built)) return complaints.push('limits are not built: run `npm run build` first')
  const { defaultLimits, ...fixed } = await import(pathToFileURL(built).href)
  const limits = new Map(Object.entries({ ...defaultLimits, ...fixed }).filter(([, value]) => typeof value === 'number'))
  const rows = rowsOf('docs/limits.md').filter(([name]) => name !== 'name')
  compareNames('docs/limits.md', 'packages/plugwire/src/limits.ts', rows, new Set(limits.keys()))
  for (const [name, number] of rows) {
    if (limits.has(name) && numberOf(number) !== limits.get(name)) {
      complaints.push(`docs/limits.md: ${name} is ${limits.get(name)}, the page says ${number}`)
    }
  }
}

function compareNames(page, file, rows, names) {
  const written = rows.map(([name]) => name)
  for (const name of names) if (!written.includes(name)) complaints.push(`${page}: no row for ${name} of ${file}`)
  for (const name of written) if (!names.has(name)) complaints.push(`${page}: ${name} is not in ${file}`)
  for (const name of new Set(written))
    if (written.filter(other => other === name).length > 1) complaints.push(`${page}: ${name} has two rows`)
}

/** Rows of all tables of a page as cells, the first without its backticks. */
function rowsOf(page) {
  const lines = (pages.get(page) ?? '').split('\n').filter(line => line.startsWith('|') && !/^[|\s:-]+$/.test(line))
  return lines
    .map(line => line.split(/(?<!\\)\|/).slice(1, -1))
    .map(([name = '', ...cells]) => [name.trim().replace(/^`|`$/g, ''), ...cells.map(cell => cell.trim())])
}

/** `64 MiB`, `65,536`, `2,000 ms`. */
function numberOf(text) {
  const [, digits, unit] = /^`?([\d,_ ]+(?:\.\d+)?)\s*([A-Za-z]*)/.exec(text) ?? []
  const scale = { KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }[unit] ?? 1
  return digits === undefined ? Number.NaN : Number(digits.replace(/[,_ ]/g, '')) * scale
}

/** Links to files of the repository lead somewhere, with their headings. Addresses on the net are left alone. */
function checkLinks(file, text) {
  for (const [, target] of withoutCode(text).matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/i.test(target)) continue
    const [path, heading] = target.split('#')
    const found = path === '' ? file : join(dirname(file), path)
    if (!existsSync(join(root, found))) complaints.push(`${file}: the link ${target} leads nowhere`)
    else if (heading && pages.has(found) && !headingsOf(pages.get(found)).has(heading))
      complaints.push(`${file}: ${found} has no heading #${heading}`)
  }
}

/** As the usual viewers name them. */
function headingsOf(text) {
  const names = [...withoutCode(text, false).matchAll(/^#+\s+(.+)$/gm)].map(([, title]) =>
    title
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replace(/\s/g, '-'),
  )
  return new Set(names)
}

function withoutCode(text, inline = true) {
  const blocks = text.replace(/^ *```[\s\S]*?^ *```/gm, '')
  return inline ? blocks.replace(/`[^`\n]*`/g, '') : blocks
}

async function checkBlocks(file, text) {
  let fixed = text
  for (const [block, indent, info, body] of text.matchAll(/^( *)```([^\n]*)\n([\s\S]*?)^ *```$/gm)) {
    const [, path, part] = /\bfile=([^\s#]+)(?:#(\S+))?/.exec(info) ?? []
    if (path === undefined) continue
    const source = existsSync(join(root, path)) ? partOf(await readFile(join(root, path), 'utf8'), part) : undefined
    if (source === undefined) complaints.push(`${file}: the code block names ${path}${part ? `#${part}` : ''}, which does not exist`)
    else if (tidy(source) !== tidy(body)) {
      if (options.fix)
        fixed = fixed.replace(block, () => `${indent}\`\`\`${info}\n${tidy(source).replace(/^(?=.)/gm, indent)}\n${indent}\`\`\``)
      else complaints.push(`${file}: the code block differs from ${path}${part ? `#${part}` : ''} (node scripts/check-docs.mjs --fix)`)
    }
  }
  if (fixed !== text) await writeFile(join(root, file), fixed)
}

function partOf(text, part) {
  if (part === undefined) return text
  const lines = text.split('\n')
  const range = /^L(\d+)(?:-L(\d+))?$/.exec(part)
  if (range) return lines.slice(Number(range[1]) - 1, Number(range[2] ?? range[1])).join('\n')
  const begin = lines.findIndex(line => line.trim() === `// #region ${part}`)
  const end = lines.findIndex((line, i) => i > begin && line.trim().startsWith('// #endregion'))
  return begin < 0 || end < 0 ? undefined : lines.slice(begin + 1, end).join('\n')
}

function tidy(text) {
  const lines = text.split('\n').filter(line => !/^\s*\/\/ (?:biome-ignore|@ts-|#region|#endregion)/.test(line))
  const indent = Math.min(...lines.filter(line => line.trim() !== '').map(line => /^ */.exec(line)[0].length))
  return lines
    .map(line => line.slice(indent).trimEnd())
    .join('\n')
    .replace(/^\n+|\n+$/g, '')
}

/** No path of somebody's machine in anything that is committed. */
async function checkAddresses() {
  const machine = /(?<![\w.~@/-])\/(?:home|work|Users)\/[\w.-]+/
  for (const file of tracked) {
    if (!existsSync(join(root, file)) || /\.(?:png|gif|wasm|gz|ico)$/.test(file)) continue
    const lines = (await readFile(join(root, file), 'utf8')).split('\n')
    lines.forEach((line, i) => {
      if (machine.test(line)) complaints.push(`${file}:${i + 1}: a path of one machine: ${machine.exec(line)[0]}`)
    })
  }
}

/** Where packages come from is the business of whoever installs them. */
async function checkLockFile() {
  const { packages } = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8'))
  for (const [path, { resolved, link }] of Object.entries(packages)) {
    if (resolved !== undefined && !link) complaints.push(`package-lock.json: ${path} records where it was fetched from`)
  }
}

async function trackedFiles() {
  const { stdout } = await promisify(execFile)('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    maxBuffer: 1 << 26,
  })
  return stdout.split('\n').filter(Boolean)
}
