import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Problem } from '../../api/http.ts';
import { en } from '../../strings/en.ts';
import { ja } from '../../strings/ja.ts';
import { problemText } from './problem-text.ts';

describe('what went wrong', () => {
  it('is told by the code, else by the status', () => {
    expect(problemText(new Problem(409, { code: 'already_claimed' }), ja)).toBe(ja.problem.already_claimed);
    expect(problemText(new Problem(404, { code: 'something_new' }), ja)).toBe(ja.problem.not_found);
    expect(problemText(new Problem(0, {}), ja)).toBe(ja.problem.offline);
  });

  it('says of a rule that it is one, and never that someone else was faster', () => {
    const source = (path: string) => readFileSync(new URL(`../../../../relay/${path}`, import.meta.url), 'utf8');
    const rules = ['domain/src/call.rs', 'domain/src/reading.rs'].flatMap((path) => {
      const text = source(path);
      const start = text.lastIndexOf("pub fn code(&self) -> &'static str");
      return [...text.slice(start, text.indexOf('\n    }\n', start)).matchAll(/=> "([a-z_]+)"/g)].map(([, code]) => code ?? '');
    });
    expect(rules.length).toBeGreaterThan(12);
    for (const strings of [ja, en]) {
      for (const code of rules) {
        const text = problemText(new Problem(409, { code }), strings);
        expect(text, code).not.toContain(code);
        expect(text, code).not.toBe(strings.problem.conflict);
      }
      expect(problemText(new Problem(409, { code: 'rule_of_tomorrow' }), strings)).toBe(strings.problem.unexpected('rule_of_tomorrow'));
      expect(problemText(new Problem(409, { code: 'stale' }), strings)).toBe(strings.problem.conflict);
      expect(problemText(new Problem(422, { code: 'cannot_sign' }), strings)).toBe(strings.problem.sign_blocked);
    }
  });

  it('tells a wrong login from a session that is over', () => {
    // The code is the relay's own.
    const relay = readFileSync(new URL('../../../../relay/src/sessions/service.rs', import.meta.url), 'utf8');
    expect(relay).toContain('"login_refused"');
    for (const strings of [ja, en]) {
      expect(problemText(new Problem(401, { code: 'login_refused' }), strings)).toBe(strings.problem.login_failed);
      expect(problemText(new Problem(401, { code: 'login_required' }), strings)).toBe(strings.problem.not_logged_in);
    }
  });

  it('carries the reference when the relay is at fault', () => {
    expect(problemText(new Problem(500, { request_id: 'abc' }), ja)).toContain('abc');
  });

  it('never shows a text of the library', () => {
    expect(problemText(new TypeError('secret'), ja)).not.toContain('secret');
  });
});
