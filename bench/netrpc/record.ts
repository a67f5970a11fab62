// The record of harness/samples.ts as a Go struct has it, and back.

import type { Build } from '../harness/samples.ts'

/** Names in Go begin with a capital, or they would not travel. */
export const toGo = ({ number, branch, commit, startedAt, seconds, green, parent, author, stages, notes }: Build) => ({
  Number: number,
  Branch: branch,
  Commit: commit,
  StartedAt: startedAt,
  Seconds: seconds,
  Green: green,
  Parent: parent,
  Author: { Name: author.name, Mail: author.mail, Reviewers: author.reviewers },
  Stages: stages.map(({ name, seconds, cached, exitCode }) => ({ Name: name, Seconds: seconds, Cached: cached, ExitCode: exitCode })),
  Notes: notes,
})

export const fromGo = (value: ReturnType<typeof toGo>): Build => ({
  number: value.Number,
  branch: value.Branch,
  commit: value.Commit,
  startedAt: value.StartedAt,
  seconds: value.Seconds,
  green: value.Green,
  parent: value.Parent,
  author: { name: value.Author.Name, mail: value.Author.Mail, reviewers: value.Author.Reviewers },
  stages: value.Stages.map(({ Name, Seconds, Cached, ExitCode }) => ({ name: Name, seconds: Seconds, cached: Cached, exitCode: ExitCode })),
  notes: value.Notes,
})
