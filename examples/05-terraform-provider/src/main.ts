#!/usr/bin/env node
// The program: terraform-provider-files.
import { serveProvider } from '../provider/serve.ts'
import { files } from './provider.ts'

// Not awaited: a bundle of CommonJS has no await here. The process ends when the provider was told to.
void serveProvider('registry.terraform.io/plugwire/files', files)
