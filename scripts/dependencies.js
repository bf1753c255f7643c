#!/usr/bin/env node
/**
 * Usage: node scripts/dependencies.js FOLDER
 *
 * Copies the production part of this checkout's node_modules into a folder, as
 * `npm ci --omit=dev` would put it there; npm itself would want the network.
 */
import { cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..')
const to = process.argv[2] ?? ''

/** @type {{ packages: Record<string, { dev?: boolean, devOptional?: boolean, optional?: boolean }> }} */
const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'))
try {
  mkdirSync(join(to, 'node_modules'), { recursive: true })
  for (const [path, { dev, devOptional, optional }] of Object.entries(packages)) {
    if (path === '' || dev || devOptional) continue
    const from = join(ROOT, path)
    if (existsSync(from)) cpSync(from, join(to, path), { recursive: true })
    // Of the binaries for other machines npm installs none.
    else if (!optional) throw new Error(`${path} is not installed: npm ci`)
  }
} catch (er) {
  console.error(er instanceof Error ? er.message : er)
  process.exitCode = 1
}
