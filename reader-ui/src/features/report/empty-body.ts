import type { ReportBody } from '../../api/types.ts';

/** A report nobody has written in yet: nothing is preset, least of all "absent". */
export const emptyBody: ReportBody = {
  image_quality: null,
  limits: [],
  finding_blocks: [],
  findings_text: '',
  impression_text: '',
  recommendation_text: '',
  criticality: null,
  disposition: [],
  key_images: [],
  prior_study_uids: [],
};
