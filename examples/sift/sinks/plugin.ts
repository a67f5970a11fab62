// All sinks are in one plugin; each instance has its own configuration.
import { serve } from 'plugwire/plugin'
import { sinks } from '../contract.ts'
import { FileSink } from './file.ts'
import { SummarySink } from './summary.ts'
import { TopSink } from './top.ts'

await serve(sinks, {
  summary: () => new SummarySink(),
  top: config => new TopSink(config),
  file: config => FileSink.open(config),
})
