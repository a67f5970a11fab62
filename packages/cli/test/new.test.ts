import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { NewReport } from '../src/commands/new.ts'
import { bin, lines, plugwire, root, run, versionOf } from './command.ts'

const directory = mkdtempSync(join(tmpdir(), 'plugwire-new-'))
after(() => rmSync(directory, { recursive: true, force: true }))

/** What `npm install` would bring, without a network. */
function install(project: string): void {
  symlinkSync(join(root, 'node_modules'), join(project, 'node_modules'), 'dir')
}

async function npm(project: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run('npm', args, { cwd: project })
  assert.equal(code, 0, `npm ${args.join(' ')}:\n${stdout}${stderr}`)
  return stdout
}

for (const language of ['TypeScript', 'JavaScript']) {
  test(`a new project in ${language} is tested, runs, and can be looked into`, async () => {
    const project = join(directory, `New ${language}`)
    const js = language === 'JavaScript'
    const made = await plugwire(['new', project, '--json', '--link', join(root, 'packages/plugwire'), ...(js ? ['--js'] : [])])
    assert.equal(made.code, 0, made.stderr)
    const report = JSON.parse(made.stdout) as NewReport
    assert.equal(report.name, `new-${language.toLowerCase()}`)
    for (const file of report.files) assert.ok(existsSync(join(project, file)), file)
    const manifest = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as { dependencies: { plugwire: string } }
    assert.match(manifest.dependencies.plugwire, /^file:.*packages\/plugwire$/)
    assert.equal(report.next.at(-1), `node ${realpathSync(bin)} inspect ${js ? 'src' : 'dist'}/plugin.js`)
    assert.ok(readFileSync(join(project, 'README.md'), 'utf8').includes(report.next.at(-1) as string))

    install(project)
    if (js) await npm(project, 'run', 'check')
    assert.match(await npm(project, 'test'), /# pass 2|pass 2/)
    const said = await npm(project, 'start')
    assert.match(said, /the plugin is process \d+\nHello, world!\nBonjour, le monde!\n3\n2\n1\n/)

    const plugin = join(project, js ? 'src' : 'dist', 'plugin.js')
    const called = await plugwire(['call', plugin, 'greeter.greet', '"you"', '--config', '{"greeting":"Hi"}', '--json'])
    assert.deepEqual(lines(called.stdout), ['Hi, you!'])
  })
}

test('without a link the project asks for this release', async () => {
  const project = join(directory, 'plain')
  mkdirSync(join(project, '.git'), { recursive: true })
  const { code, stdout } = await plugwire(['new', project])
  assert.equal(code, 0)
  assert.match(stdout, /Next:\n {2}cd .*plain\n {2}npm install\n {2}npm test\n/)
  const manifest = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as { dependencies: { plugwire: string } }
  assert.equal(manifest.dependencies.plugwire, `^${versionOf(join(root, 'packages/plugwire/package.json'))}`)
})

test('a directory with something in it is left alone', async () => {
  const project = join(directory, 'mine')
  mkdirSync(project)
  writeFileSync(join(project, 'thesis.txt'), 'years of work')
  const { code, stderr } = await plugwire(['new', project])
  assert.equal(code, 1)
  assert.match(stderr, /CLI_DIRECTORY: .*mine is not empty\nNothing was changed/)
  assert.equal((await plugwire(['new', join(project, 'thesis.txt')])).code, 1)
})

test('a name that no package can have', async () => {
  const { code, stderr } = await plugwire(['new', join(directory, 'named'), '--name', 'My Plugin'])
  assert.equal(code, 2)
  assert.match(stderr, /cannot be the name of a package/)
})

test('a link leads to the package', async () => {
  const wrong = await plugwire(['new', join(directory, 'wrong'), '--link', join(root, 'packages/cli')])
  assert.equal(wrong.code, 2)
  assert.match(wrong.stderr, /holds no package named plugwire\n.*packages\/plugwire/)
  assert.ok(!existsSync(join(directory, 'wrong')))
  assert.equal((await plugwire(['new', join(directory, 'right'), '--link', root])).code, 0)
  const manifest = JSON.parse(readFileSync(join(directory, 'right', 'package.json'), 'utf8')) as { dependencies: { plugwire: string } }
  assert.match(manifest.dependencies.plugwire, /^file:.*packages\/plugwire$/)
})
