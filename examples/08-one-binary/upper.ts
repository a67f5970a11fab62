// A plugin that this program carries.

import { serve } from 'plugwire/plugin'
import { textTool } from './text-tool.ts'

export const run = (): Promise<void> =>
  serve(textTool, { tool: () => ({ apply: (text: string) => text.toUpperCase(), pid: () => process.pid }) })
