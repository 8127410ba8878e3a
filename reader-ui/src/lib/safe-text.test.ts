import { describe, expect, it } from 'vitest';
import { headerText, personName, safeText } from './safe-text.ts';

describe('text from elsewhere', () => {
  it('cannot change the direction or hide characters', () => {
    expect(safeText('A\u202eB\u200bC\u0007')).toBe('A␣B␣C␣');
    expect(safeText('\u2066x\u2069\ufeff')).toBe('␣x␣␣');
  });

  it('keeps what a Japanese name is made of', () => {
    expect(safeText('髙橋 﨑𠮷 ﾔﾏﾀﾞ')).toBe('髙橋 﨑𠮷 ﾔﾏﾀﾞ');
  });

  it('writes name components apart', () => {
    expect(personName('山田^太郎')).toBe('山田 太郎');
    expect(personName('YAMADA^TARO^^Dr')).toBe('YAMADA TARO Dr');
  });

  it('shows half-width katakana in full width and leaves every other character as it is', () => {
    expect(personName('ﾔﾏﾀﾞ^ﾀﾛｰ')).toBe('ヤマダ タロー');
    expect(headerText('ｶﾝｼﾞｬ 頭部単純ＣＴ ㈱神')).toBe('カンジャ 頭部単純ＣＴ ㈱神');
  });
});
