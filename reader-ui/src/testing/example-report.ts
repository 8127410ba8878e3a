import type { ReportVersion } from '../api/types.ts';

/** A signed version that names its disposition by code, as every report does. */
export const exampleVersion: ReportVersion = {
  id: 'v1',
  report_id: 'rep',
  reading_request_id: 'q',
  version: 1,
  status: 'final',
  signed_at_ms: Date.UTC(2026, 0, 22, 17, 0),
  reader: { id: 'saito', name: '齋藤 守' },
  body: {
    image_quality: 'good',
    limits: [],
    finding_blocks: [],
    findings_text: '左被殻に高吸収',
    impression_text: '左被殻出血',
    recommendation_text: '降圧',
    criticality: 'crit_red',
    disposition: [{ code: 'observe_local', call_again_if: 'JCSが1桁悪化' }],
    key_images: [],
    prior_study_uids: [],
  },
  evaluation: { blocks: [], problems: [], narrative: { ja: '', en: '' }, can_sign: { preliminary: { ok: true, blockers: [] }, final: { ok: true, blockers: [] } } },
  images_at_signing: { received: 20, announced: 20, verified: 20, closed: true, withheld: 0, instance_sha256_digest: '' },
  calls: [],
};
