// Another one.

import { serve } from 'plugwire/plugin'
import { textTool } from './text-tool.ts'

export const run = (): Promise<void> =>
  serve(textTool, { tool: () => ({ apply: (text: string) => `${text.split(/\s+/).length} words`, pid: () => process.pid }) })
