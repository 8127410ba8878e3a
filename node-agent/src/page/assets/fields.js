// The clinical context of a reading request as data: one entry a field, in the order of an SBAR call.
// Ids and codes are those of the relay and never change. An unanswered field is left out, never sent as "none".

const o = (code, ja, en) => ({ code, ja, en });

const NOW_MAX = 'now';

export const groups = [
  { id: 'request', ja: '依頼', en: 'Request', fields: [
    { id: 'requested_urgency', ja: '依頼緊急度', en: 'Urgency', type: 'enum', must: true, now: true, top: true, wide: true, options: [
      o('stroke_code', '脳卒中コード(24時間以内・意識低下)', 'Stroke code (within 24 h, falling consciousness)'),
      o('critical', '緊急(出血・外傷・ヘルニア疑い)', 'Critical (haemorrhage, trauma, herniation)'),
      o('urgent', '準緊急', 'Urgent'), o('routine', '通常', 'Routine'), o('elective', '予約・意見伺い', 'Elective, second opinion')] },
    { id: 'request_template', ja: '依頼種別', en: 'Kind of case', type: 'select', must: true, options: [
      o('undifferentiated', '未分類', 'Undifferentiated'), o('ais', '急性期脳梗塞', 'Acute ischaemic stroke'), o('ich', '脳内出血', 'Intracerebral haemorrhage'),
      o('sah', 'くも膜下出血', 'Subarachnoid haemorrhage'), o('trauma', '頭部外傷', 'Head trauma'), o('csdh', '慢性硬膜下血腫', 'Chronic subdural haematoma'),
      o('hygroma', '硬膜下水腫', 'Subdural hygroma'), o('tumor', '脳腫瘍', 'Brain tumour'), o('normal', '異常なしの確認', 'Confirm that nothing is wrong'), o('general', 'その他', 'Other')] },
    { id: 'age_years', ja: '年齢', en: 'Age (years)', type: 'number', must: true, min: 0, max: 120, step: 1 },
    { id: 'sex', ja: '性別', en: 'Sex', type: 'select', must: true, options: [o('male', '男', 'Male'), o('female', '女', 'Female'), o('other', 'その他', 'Other'), o('unknown', '不明', 'Unknown')] },
    { id: 'clinical_question', ja: '依頼目的', en: 'Question to the reader', type: 'text', must: true, max: 2000, wide: true },
    { id: 'callback_number', ja: '折り返し電話番号', en: 'Call-back number', type: 'tel', must: true, now: true, top: true },
    { id: 'callback_person', ja: '折り返し先(担当者)', en: 'Ask for', type: 'line', must: true, top: true },
    { id: 'responsible_physician', ja: '主治医', en: 'Responsible physician', type: 'line', must: true, top: true },
  ] },
  { id: 'times', ja: '時刻', en: 'Times', fields: [
    { id: 'onset_kind', ja: '発症時刻の確からしさ', en: 'How the onset is known', type: 'enum', mustFor: ['ais', 'ich', 'sah', 'undifferentiated'], wide: true, options: [
      o('witnessed', '目撃', 'Witnessed'), o('reported', '申告', 'Reported'), o('wake_up', '起床時', 'On waking'), o('unknown', '不明', 'Unknown')] },
    { id: 'onset_dt', ja: '発症時刻', en: 'Onset', type: 'time', max: NOW_MAX, when: (v) => ['witnessed', 'reported'].includes(v.onset_kind) },
    { id: 'lkw_dt', ja: '最終健常確認時刻', en: 'Last known well', type: 'time', max: NOW_MAX, mustFor: ['ais'] },
    { id: 'door_dt', ja: '来院時刻', en: 'Arrival at hospital', type: 'time', must: true, max: NOW_MAX },
    { id: 'scan_dt', ja: '撮影時刻', en: 'Scan', type: 'time', must: true, max: NOW_MAX },
  ] },
  { id: 'state', ja: '意識・神経所見', en: 'Consciousness and neurology', fields: [
    { id: 'jcs', ja: 'JCS', en: 'JCS', type: 'select', must: true, options: [
      o('0', '0 清明', '0'), o('I-1', 'I-1', 'I-1'), o('I-2', 'I-2', 'I-2'), o('I-3', 'I-3', 'I-3'), o('II-10', 'II-10', 'II-10'), o('II-20', 'II-20', 'II-20'),
      o('II-30', 'II-30', 'II-30'), o('III-100', 'III-100', 'III-100'), o('III-200', 'III-200', 'III-200'), o('III-300', 'III-300', 'III-300')] },
    { id: 'jcs_modifiers', ja: 'JCS 付加', en: 'JCS modifiers', type: 'multi', options: [o('R', 'R 不穏', 'R restless'), o('I', 'I 失禁', 'I incontinent'), o('A', 'A 無動性無言・失外套', 'A akinetic mutism, apallic')] },
    { id: 'gcs_e', ja: 'GCS E 開眼', en: 'GCS eye', type: 'select', must: true, options: [o('4', '4 自発', '4 spontaneous'), o('3', '3 呼びかけ', '3 to voice'), o('2', '2 疼痛', '2 to pain'), o('1', '1 なし', '1 none'), o('NT', 'NT 評価不能', 'NT not testable')] },
    { id: 'gcs_v', ja: 'GCS V 言語', en: 'GCS verbal', type: 'select', must: true, options: [o('5', '5 見当識あり', '5 orientated'), o('4', '4 混乱', '4 confused'), o('3', '3 不適切単語', '3 words'), o('2', '2 発声のみ', '2 sounds'), o('1', '1 なし', '1 none'), o('T', 'T 挿管', 'T intubated'), o('NT', 'NT 評価不能', 'NT not testable')] },
    { id: 'gcs_m', ja: 'GCS M 運動', en: 'GCS motor', type: 'select', must: true, options: [o('6', '6 命令', '6 obeys'), o('5', '5 局在', '5 localises'), o('4', '4 逃避', '4 withdraws'), o('3', '3 異常屈曲', '3 abnormal flexion'), o('2', '2 伸展', '2 extension'), o('1', '1 なし', '1 none'), o('NT', 'NT 評価不能', 'NT not testable')] },
    { id: 'pupil_right_size_mm', ja: '瞳孔 右 (mm)', en: 'Right pupil (mm)', type: 'number', must: true, min: 0.5, max: 9, step: 0.5 },
    { id: 'pupil_right_light_reflex', ja: '対光反射 右', en: 'Right light reflex', type: 'select', must: true, options: reflex() },
    { id: 'pupil_left_size_mm', ja: '瞳孔 左 (mm)', en: 'Left pupil (mm)', type: 'number', must: true, min: 0.5, max: 9, step: 0.5 },
    { id: 'pupil_left_light_reflex', ja: '対光反射 左', en: 'Left light reflex', type: 'select', must: true, options: reflex() },
    { id: 'nihss_total', ja: 'NIHSS 合計', en: 'NIHSS total', type: 'number', min: 0, max: 42, step: 1, mustFor: ['ais'] },
    { id: 'mrs_pre', ja: '発症前 mRS', en: 'mRS before onset', type: 'number', min: 0, max: 5, step: 1, mustFor: ['ais'] },
    { id: 'deficits', ja: '神経症候', en: 'Deficits', type: 'multi', must: true, wide: true, none: 'none', options: [
      o('hemiparesis_right', '片麻痺 右', 'Right weakness'), o('hemiparesis_left', '片麻痺 左', 'Left weakness'), o('aphasia', '失語', 'Aphasia'), o('dysarthria', '構音障害', 'Dysarthria'),
      o('neglect', '半側空間無視', 'Neglect'), o('gaze_deviation', '共同偏視', 'Gaze deviation'), o('visual_field', '視野障害', 'Field defect'), o('ataxia', '運動失調', 'Ataxia'),
      o('vertigo', 'めまい', 'Vertigo'), o('seizure', '痙攣', 'Seizure'), o('headache', '頭痛', 'Headache'), o('vomiting', '嘔吐', 'Vomiting'), o('neck_stiffness', '項部硬直', 'Stiff neck'),
      o('impaired_consciousness', '意識障害', 'Reduced consciousness'), o('none', 'なし(確認済み)', 'None (checked)')] },
    { id: 'focal_deficit_wfns', ja: '局所神経症状(失語・片麻痺)', en: 'Focal deficit (aphasia, weakness)', type: 'select', mustFor: ['sah'], options: [
      o('absent', 'なし', 'Absent'), o('present', 'あり', 'Present'), o('indeterminate', '判定困難', 'Indeterminate'), o('not_assessed', '未評価', 'Not assessed')] },
  ] },
  { id: 'vitals', ja: 'バイタル', en: 'Vital signs', fields: [
    { id: 'sbp', ja: '収縮期血圧 (mmHg)', en: 'Systolic BP (mmHg)', type: 'number', must: true, min: 30, max: 300, step: 1 },
    { id: 'dbp', ja: '拡張期血圧 (mmHg)', en: 'Diastolic BP (mmHg)', type: 'number', must: true, min: 10, max: 200, step: 1 },
    { id: 'hr', ja: '心拍数 (/分)', en: 'Heart rate (/min)', type: 'number', min: 10, max: 300, step: 1 },
    { id: 'rr', ja: '呼吸数 (/分)', en: 'Breaths (/min)', type: 'number', min: 0, max: 80, step: 1 },
    { id: 'spo2', ja: 'SpO2 (%)', en: 'SpO2 (%)', type: 'number', min: 30, max: 100, step: 1 },
    { id: 'temp', ja: '体温 (℃)', en: 'Temperature (°C)', type: 'number', min: 25, max: 43, step: 0.1 },
    { id: 'body_weight', ja: '体重 (kg)', en: 'Weight (kg)', type: 'number', min: 1, max: 250, step: 0.1 },
  ] },
  { id: 'background', ja: '背景', en: 'Background', fields: [
    { id: 'antithrombotics', ja: '抗血栓薬', en: 'Antithrombotics', type: 'drugs', must: true, wide: true, none: 'none', options: [
      o('warfarin', 'ワルファリン', 'Warfarin'), o('doac', 'DOAC', 'DOAC'), o('heparin', 'ヘパリン', 'Heparin'), o('antiplatelet_single', '抗血小板(単剤)', 'One antiplatelet'),
      o('antiplatelet_dual', '抗血小板(2剤)', 'Two antiplatelets'), o('none', 'なし(確認済み)', 'None (checked)'), o('unknown', '不明', 'Unknown')] },
    { id: 'labs', ja: '検査値', en: 'Laboratory', type: 'labs', wide: true, mustFor: ['ais', 'ich'], items: [
      o('inr', 'PT-INR', 'PT-INR'), o('platelets', '血小板 (10³/µL)', 'Platelets (10³/µL)'), o('glucose', '血糖 (mg/dL)', 'Glucose (mg/dL)'), o('creatinine', 'Cr (mg/dL)', 'Creatinine (mg/dL)'),
      o('egfr', 'eGFR', 'eGFR'), o('aptt', 'APTT (秒)', 'APTT (s)')] },
    { id: 'trauma_mechanism', ja: '受傷機転', en: 'Injury', type: 'select', mustFor: ['trauma', 'csdh', 'hygroma'], options: [
      o('fall', '転倒', 'Fall'), o('fall_from_height', '転落', 'Fall from height'), o('traffic', '交通外傷', 'Traffic'), o('assault', '暴行', 'Assault'), o('sports', 'スポーツ', 'Sport'), o('unknown', '不明', 'Unknown'), o('none', '外傷歴なし', 'No injury')] },
    { id: 'implants_allergy', ja: '体内金属・造影剤アレルギー・妊娠', en: 'Implants, contrast allergy, pregnancy', type: 'multi', wide: true, none: 'none', options: [
      o('metal_implant', '体内金属', 'Metal'), o('pacemaker', 'ペースメーカー', 'Pacemaker'), o('contrast_allergy', '造影剤アレルギー', 'Contrast allergy'), o('pregnant', '妊娠', 'Pregnancy'), o('none', 'なし(確認済み)', 'None (checked)'), o('unknown', '不明', 'Unknown')] },
    { id: 'fall_height_m', ja: '転落の高さ (m)', en: 'Height of fall (m)', type: 'number', min: 0, max: 200, step: 0.1, when: (v) => v.trauma_mechanism === 'fall_from_height' },
    { id: 'trauma_dt', ja: '受傷時刻', en: 'Time of injury', type: 'time', max: NOW_MAX, mustFor: ['csdh'] },
    { id: 'advance_directive', ja: 'DNAR等の意思表示', en: 'Advance directive', type: 'select', options: [o('none', 'なし', 'None'), o('present', 'あり', 'Present'), o('unknown', '不明', 'Unknown')] },
    { id: 'advance_directive_text', ja: '意思表示の内容', en: 'What the directive says', type: 'text', max: 1000, wide: true, when: (v) => v.advance_directive === 'present' },
    { id: 'local_capability', ja: '自院で可能な対応', en: 'What this hospital can do', type: 'multi', must: true, wide: true, none: 'none', options: [
      o('iv_tpa', 'tPA静注', 'IV tPA'), o('emergency_lab', '緊急採血', 'Emergency lab'), o('mri', 'MRI', 'MRI'), o('contrast_ct', '造影CT', 'Contrast CT'), o('intubation', '挿管', 'Intubation'), o('observation_24h', '24h観察', '24 h observation'), o('none', 'なし', 'None of these')] },
  ] },
];

function reflex() {
  return [o('brisk', '迅速', 'Brisk'), o('sluggish', '遅鈍', 'Sluggish'), o('absent', '消失', 'Absent'), o('indeterminate', '判定不能', 'Not testable')];
}

/** Whether a field must be answered, given the answers so far. */
export function required(field, values) {
  return Boolean(field.must || field.mustFor?.includes(values.request_template) || field.when?.(values));
}

/** Whether a field is shown, given the answers so far. */
export function shown(field, values) {
  if (field.when) return field.when(values);
  return !field.mustFor || !values.request_template || values.request_template === 'undifferentiated' || field.mustFor.includes(values.request_template);
}

/** Whether a value counts as an answer. */
export function answered(value) {
  if (value === undefined || value === null || value === '') return false;
  if (Array.isArray(value)) return value.length > 0;
  return typeof value !== 'object' || Object.keys(value).length > 0;
}
