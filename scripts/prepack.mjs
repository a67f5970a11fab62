// npm runs this in a package's directory before it packs: every tarball carries the licence, and the repository's README unless the
// package has one of its own. Both copies are ignored by git.

import { existsSync } from 'node:fs'
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { root } from './workspaces.mjs'

await copyFile(join(root, 'LICENSE'), 'LICENSE')
if (process.env.npm_package_name === 'plugwire' && existsSync(join(root, 'README.md'))) await copyFile(join(root, 'README.md'), 'README.md')
