// The provider of example 05 under a real Terraform: all ways to install it, the life of its resources, and what people see when something is wrong.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { arch, platform } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { bundle, PROGRAM } from '../../05-terraform-provider/bundle.ts'
import { parseJson } from '../../05-terraform-provider/provider/cty/json.ts'
import { findTerraform, Stage } from '../../05-terraform-provider/terraform.ts'
import { zip } from './zip.ts'

const ADDRESS = 'registry.terraform.io/plugwire/files'
const built = (file: string) => fileURLToPath(new URL(`../../${file}`, import.meta.url))

const terraform = await findTerraform()
const skip = terraform === undefined && 'CI must not skip: neither terraform nor tofu is on the path'

let shared: Stage
/** The one file that is shipped. */
let program: string

before(async () => {
  if (terraform === undefined) return
  shared = await Stage.create(terraform)
  program = await bundle(join(shared.directory, 'bundle'))
})
after(() => shared?.[Symbol.asyncDispose]())

const provider = (more = '') => `
terraform {
  required_providers {
    files = { source = "${ADDRESS}" }
  }
}
variable "root" {}
variable "text" { default = "one" }
provider "files" {
  root = var.root
  ${more}
}
`

const document = (more = '') => `
resource "files_document" "doc" {
  path   = "doc.json"
  title  = var.text
  limits = { big = 12345678901234567890, huge = 123456789012345678901234567890 }
  author = { name = "Ada", mail = "ada@secret.example" }
  extra  = { tenth = 0.1, exact = 0.12345678901234567890123 }
  section {
    heading = "First part"
    weight  = 0.1
    link { url = "https://example.org/" }
  }
  ${more}
}
`

/** A stage with the bundled provider in place of an installed one. */
async function overridden(
  content: string,
): Promise<{ stage: Stage; root: string; run: (...args: string[]) => Promise<string>; fails: (...args: string[]) => Promise<string> }> {
  const stage = await Stage.create(terraform!)
  stage.override(ADDRESS, join(program, '..'))
  await stage.configure('main.tf', content)
  return { stage, root: join(stage.directory, 'root'), ...runs(stage) }
}

function runs(stage: Stage, variables: NodeJS.ProcessEnv = {}) {
  const all = async (args: readonly string[]) => {
    const { code, output } = await stage.run([...args, '-no-color'], { TF_VAR_root: join(stage.directory, 'root'), ...variables })
    return { code, output: output.replace(/^[│╷╵] ?/gm, '') }
  }
  return {
    run: async (...args: string[]) => {
      const { code, output } = await all(args)
      assert.equal(code, 0, output)
      return output
    },
    fails: async (...args: string[]) => {
      const { code, output } = await all(args)
      assert.equal(code, 1, output)
      return output
    },
  }
}

async function state(stage: Stage): Promise<{ readonly [address: string]: { readonly [attribute: string]: unknown } }> {
  const json = parseJson(await readFile(join(stage.directory, 'terraform.tfstate'), 'utf8')) as unknown as StateFile
  return Object.fromEntries(json.resources.map(({ type, name, instances }) => [`${type}.${name}`, instances[0]!.attributes]))
}

interface StateFile {
  resources: { type: string; name: string; instances: { attributes: Record<string, unknown> }[] }[]
}

test('resources are made, kept, changed, replaced and destroyed, to the last digit', { skip }, async () => {
  const { stage, root, run } = await overridden(
    `${provider()}${document()}
    resource "files_text" "text" {
      path    = "\${var.text}.txt"
      content = "x-\${files_document.doc.id}"
    }
    resource "files_text" "secret" {
      path              = "secret"
      sensitive_content = "hunter2"
    }
    output "known" { value = startswith(files_text.text.digest, "sha256-") && files_text.text.size != null }
    output "digest" { value = files_text.text.digest }`,
  )
  await using _ = stage
  const plan = await run('plan')
  assert.match(plan, /\+ "big" += 12345678901234567890\n/)
  assert.match(plan, /\+ "huge" = 123456789012345678901234567890\n/)
  assert.match(plan, /\+ exact = 0\.12345678901234567890123\n/)
  assert.match(plan, /\+ anchor +(= "first-part")\n/, 'the provider gave what can be foreseen')
  assert.match(plan, /\+ known += true\n/, 'a refined unknown decides a condition')
  assert.match(plan, /\+ digest += \(known after apply\)\n/)
  assert.match(plan, /\+ mail = \(sensitive value\)\n/)
  assert.match(plan, /\+ sensitive_content = \(sensitive value\)\n/)
  assert.doesNotMatch(plan, /ada@secret|hunter2/)

  await run('apply', '-auto-approve')
  assert.deepEqual((await readdir(root)).sort(), ['doc.json', 'one.txt', 'secret'])
  const made = await state(stage)
  assert.deepEqual(
    { ...(made['files_document.doc']!.limits as object) },
    { big: 12_345_678_901_234_567_890n, huge: 123_456_789_012_345_678_901_234_567_890n },
  )
  assert.match(await readFile(join(root, 'doc.json'), 'utf8'), /"exact": 0\.12345678901234567890123,/)
  assert.match(await run('plan'), /No changes\./)

  const change = await run('apply', '-auto-approve', '-var', 'text=two')
  assert.match(change, /~ revision += 1 -> 2\n/)
  assert.match(change, /-\/\+ destroy and then create replacement/)
  assert.match(change, /~ path +(= "one.txt" -> "two.txt") # forces replacement/)
  assert.deepEqual((await readdir(root)).sort(), ['doc.json', 'secret', 'two.txt'])
  assert.equal((await state(stage))['files_document.doc']!.id, made['files_document.doc']!.id, 'what is stable stays')

  await run('destroy', '-auto-approve', '-var', 'text=two')
  assert.deepEqual(await readdir(root), [])
})

test('what others did is seen, warned of by private state, and set right', { skip }, async () => {
  const { stage, root, run } = await overridden(`${provider()}${document()}
    resource "files_text" "text" {
      path    = "text.txt"
      content = "mine"
    }`)
  await using _ = stage
  await run('apply', '-auto-approve')
  await writeFile(join(root, 'doc.json'), (await readFile(join(root, 'doc.json'), 'utf8')).replace('First part', 'Another'))
  await rm(join(root, 'text.txt'))
  const plan = await run('plan')
  assert.match(
    plan,
    /Warning: doc\.json was changed by others\n+ +with files_document\.doc,\n +on main\.tf line \d+, in resource "files_document" "doc":\n +\d+: +path +(= "doc\.json")\n/,
  )
  assert.match(plan, /~ heading = "Another" -> "First part"\n/)
  assert.match(plan, /# files_text\.text will be created/)
  await run('apply', '-auto-approve')
  assert.match(await run('plan'), /No changes\./)
  assert.match(await run('apply', '-refresh-only', '-auto-approve'), /Apply complete!/)
})

test('what exists is imported', { skip }, async () => {
  const { stage, root, run, fails } = await overridden(`${provider()}
    resource "files_text" "text" {
      path    = "text.txt"
      content = "mine"
    }
    resource "files_document" "doc" {
      path  = "doc.json"
      title = "t"
      limits = { big = 12345678901234567890 }
      section { heading = "h" }
    }`)
  await using _ = stage
  await mkdir(root)
  await writeFile(join(root, 'text.txt'), 'mine', { mode: 0o644 })
  await writeFile(join(root, 'doc.json'), '{"title":"t","limits":{"big":12345678901234567890},"section":[{"heading":"h"}]}')
  assert.match(
    await fails('import', 'files_text.text', 'none.txt'),
    /Error: There is no such object\n+No files_text has the id "none\.txt"\./,
  )
  await run('import', 'files_text.text', 'text.txt')
  await run('import', 'files_document.doc', 'doc.json')
  assert.match(await run('plan'), /No changes\./)
})

test('what is wrong is shown at the attribute it is about', { skip }, async () => {
  const { stage, root, run, fails } = await overridden(`${provider()}
    resource "files_text" "both" {
      path              = "a.txt"
      content           = "a"
      sensitive_content = "b"
      mode              = "0666"
    }
    resource "files_text" "out" {
      path = "../out.txt"
    }
    resource "files_document" "doc" {
      path   = "doc.json"
      title  = "t"
      limits = {
        whole = 1
        half  = 1.5
      }
      section { heading = "good" }
      section {
        heading = "bad"
        weight  = -1
      }
    }`)
  await using _ = stage
  const said = await fails('validate')
  const at = (summary: string, line: RegExp) => assert.match(said, new RegExp(`${summary}\\n[\\s\\S]*?\\n +\\d+: +${line.source}\\n`))
  at('Error: Two contents', /sensitive_content = "b"/)
  at('Warning: Everybody may write this file', /mode +(= "0666")/)
  assert.match(said, /"\.\.\/out\.txt" leads out of the root of the provider\./)
  assert.match(said, /limits\.half: a whole number is required/)
  assert.match(said, /\d+: +weight +(= -1)\n+-1 is less than nothing\./)

  await stage.configure('main.tf', `${provider()}${document()}`)
  await mkdir(root)
  await writeFile(join(root, 'doc.json'), '{}')
  assert.match(
    await fails('apply', '-auto-approve'),
    /Error: doc\.json exists already\n[\s\S]*\n +\d+: +path +(= "doc\.json")\n+Remove the file or bring it under Terraform/,
  )
  assert.equal(await readFile(join(root, 'doc.json'), 'utf8'), '{}')

  await stage.configure('main.tf', `${provider('read_only = true')}${document()}`)
  await rm(join(root, 'doc.json'))
  assert.match(await fails('apply', '-auto-approve'), /Error: The provider is read-only\n/)
  await stage.configure('main.tf', `${provider()}data "files_listing" "none" { suffix = ".none" }`)
  assert.match(await run('plan'), /Warning: No files\n+ +with data\.files_listing\.none,/)
})

test('a value of many megabytes goes both ways', { skip }, async () => {
  const { stage, root, run } = await overridden(`${provider()}
    resource "files_text" "large" {
      path    = "large.txt"
      content = join("", [for i in range(1024) : format("%08192d", i)])
    }`)
  await using _ = stage
  await run('apply', '-auto-approve')
  assert.equal((await readFile(join(root, 'large.txt'))).length, 8 * 2 ** 20)
  assert.match(await run('plan'), /No changes\./)
})

const target = `${platform()}_${arch() === 'x64' ? 'amd64' : arch()}`

for (const packed of [false, true]) {
  test(`it is installed from a mirror on disk, ${packed ? 'packed' : 'as files'}, and locked`, { skip }, async () => {
    await using stage = await Stage.create(terraform!)
    const mirror = join(stage.directory, 'mirror')
    const versions = join(mirror, ADDRESS)
    const installed = join(versions, '1.2.3', target)
    const contents = await readFile(program)
    const name = `${PROGRAM}_v1.2.3`
    if (packed) {
      await mkdir(versions, { recursive: true })
      await writeFile(join(versions, `${PROGRAM}_1.2.3_${target}.zip`), zip(name, contents, 0o755))
    } else {
      await mkdir(installed, { recursive: true })
      await writeFile(join(installed, name), contents)
      await chmod(join(installed, name), 0o755)
    }
    stage.mirror(mirror)
    await stage.configure('main.tf', `${provider()}${document()}`)
    const { run, fails } = runs(stage)
    assert.match(await run('init'), /Installed [\w./]*plugwire\/files v1\.2\.3/)
    assert.match(await readFile(join(stage.directory, '.terraform.lock.hcl'), 'utf8'), /version += "1\.2\.3"\n[\s\S]*"h1:/)
    await run('apply', '-auto-approve')
    await access(join(stage.directory, 'root', 'doc.json'))
    assert.match(await run('init'), /Reusing previous version of [\w./]*plugwire\/files from the dependency lock file/)

    // One byte more, and it is another provider than the one that was locked.
    const directory = join(stage.directory, '.terraform')
    await rm(directory, { recursive: true })
    if (packed)
      await writeFile(join(versions, `${PROGRAM}_1.2.3_${target}.zip`), zip(name, Buffer.concat([contents, Buffer.from('\n')]), 0o755))
    else await writeFile(join(installed, name), Buffer.concat([contents, Buffer.from('\n')]), { mode: 0o755 })
    assert.match(await fails('init'), /checksums/)
  })
}

test('it runs under a debugger, and Terraform attaches to it again and again', { skip }, async () => {
  const child = spawn(process.execPath, [program, '--debug'], { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    let reattach: string | undefined
    for await (const line of createInterface(child.stdout)) {
      reattach = /^TF_REATTACH_PROVIDERS='(.*)'$/.exec(line)?.[1]
      if (reattach !== undefined) break
    }
    await using stage = await Stage.create(terraform!)
    stage.mirror(join(stage.directory, 'empty'))
    await stage.configure('main.tf', `${provider()}${document()}`)
    const { run } = runs(stage, { TF_REATTACH_PROVIDERS: reattach })
    await run('apply', '-auto-approve')
    assert.match(await run('plan'), /No changes\./)
    await run('destroy', '-auto-approve')
    assert.equal(child.exitCode, null)
  } finally {
    const exited = once(child, 'exit')
    child.kill('SIGINT')
    await exited
  }
  assert.equal(child.exitCode, 0)
})

/** A stage with the provider of fixtures/faulty-provider.ts. */
async function faulty(content: string, ...args: string[]): Promise<Stage> {
  const stage = await Stage.create(terraform!)
  const directory = join(stage.directory, 'provider')
  await mkdir(directory)
  const script = `#!/bin/sh\nexec '${process.execPath}' '${built('test/fixtures/faulty-provider.js')}' ${args.join(' ')}\n`
  await writeFile(join(directory, 'terraform-provider-faulty'), script, { mode: 0o755 })
  stage.override('registry.terraform.io/test/faulty', directory)
  await stage.configure(
    'main.tf',
    `terraform {
      required_providers {
        faulty = { source = "registry.terraform.io/test/faulty" }
      }
    }
    ${content}`,
  )
  return stage
}

test('when the provider crashes, Terraform shows its stack', { skip }, async () => {
  await using stage = await faulty('resource "faulty_act" "a" { does = "crash" }')
  const output = await runs(stage, { TF_LOG_PROVIDER: 'error' }).fails('apply', '-auto-approve')
  assert.match(output, /panic: Error: this was not foreseen/)
  assert.match(output, /at [\w.]*crashForGood \(.*faulty-provider/)
  // OpenTofu 1.12 has it in its log only.
  if (terraform !== 'terraform') return
  const shown = await runs(stage).fails('apply', '-auto-approve')
  assert.match(shown, /Stack trace from the terraform-provider-faulty plugin:\n[\s\S]*at [\w.]*crashForGood/)
  assert.match(shown, /plugin crashed!/)
})

test('an interrupt reaches what is waiting in the provider', { skip }, async () => {
  await using stage = await faulty('resource "faulty_act" "a" { does = "wait" }')
  const child = stage.start(['apply', '-auto-approve', '-no-color'], { TF_LOG_PROVIDER: 'debug' })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', chunk => {
      const heard = output.includes('waiting for the signal')
      output += chunk
      if (!heard && output.includes('waiting for the signal')) child.kill('SIGINT')
    })
  }
  await once(child, 'close')
  assert.match(output, /Error: Terraform was interrupted/)
})

test('a Terraform that knows protocol 5 only gets that', { skip }, async () => {
  await using stage = await faulty(
    `resource "faulty_act" "a" {
      does    = "work"
      details = { text = "x", length = null }
    }
    output "done" { value = faulty_act.a.done }`,
    '--protocol=5',
  )
  const { run } = runs(stage)
  assert.match(await run('apply', '-auto-approve'), /done = "yes"/)
  assert.match(await run('plan'), /No changes\./)
  await run('destroy', '-auto-approve')
})
