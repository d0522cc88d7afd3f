"""Names and codes that occur, the common ones first.

Codes and units are those that Synthea uses (LOINC, SNOMED CT, RxNorm, CVX); ranges of values are rough.
"""

from __future__ import annotations

from typing import NamedTuple

LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
CVX = "http://hl7.org/fhir/sid/cvx"
UCUM = "http://unitsofmeasure.org"
NPI = "http://hl7.org/fhir/sid/us-npi"
SYNTHEA = "https://github.com/synthetichealth/synthea"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
CORE = "http://hl7.org/fhir/us/core/StructureDefinition"


class Measured(NamedTuple):
    """A quantity that is measured: LOINC code, unit (UCUM), and the range of values."""

    code: str
    display: str
    unit: str
    low: float
    high: float


Term = tuple[str, str]  # code, display

GIVEN = (
    *("Maria", "James", "Aisha", "Wei", "Olivia", "Noah", "Zoë", "Mateo", "Ingrid", "Amara", "José", "Yuki"),
    *("Elena", "Samuel", "Priya", "Lars", "Chloé", "Ahmed", "Sofia", "Björn", "Fatima", "Liam", "Anneliese", "Tomás"),
)
FAMILY_BEGINS = (
    *("Ander", "Bro", "Carl", "Dan", "Ebers", "Fitz", "Grad", "Hein", "Iver", "Jaco", "Kuhl", "Lind", "Mc", "Nien"),
    *("O'", "Pros", "Quig", "Ritt", "Schu", "Tur", "Ull", "Vander", "Wil", "Yund", "Zieg", "Ødeg", "Muñ", "Große"),
)
FAMILY_ENDS = (
    *("son", "man", "berg", "ley", "ford", "ard", "ner", "kow", "son-Lee", "ski", "ton", "well", "quist", "oz"),
    *("bach", "stein", "dal", "more", "gate", "field", "hart", "wood"),
)
CITIES = (
    *("Boston", "Worcester", "Springfield", "Lowell", "Cambridge", "New Bedford", "Brockton", "Quincy", "Lynn"),
    *("Newton", "Somerville", "Framingham", "Salem", "Medford", "Plymouth", "Upton", "Amherst", "Milford"),
)
STREETS = ("Harbor View Street", "Quay Road", "Parisian Ferry", "Mill Lane", "Beech Street", "Lincoln Avenue")

VITAL_SIGNS = (
    Measured("8302-2", "Body Height", "cm", 50, 195),
    Measured("72514-3", "Pain severity - 0-10 verbal numeric rating [Score] - Reported", "{score}", 0, 10),
    Measured("29463-7", "Body Weight", "kg", 3, 120),
    Measured("39156-5", "Body Mass Index", "kg/m2", 14, 40),
    Measured("8867-4", "Heart rate", "/min", 55, 110),
    Measured("9279-1", "Respiratory rate", "/min", 11, 20),
)
LIPIDS = (
    Measured("2093-3", "Cholesterol [Mass/volume] in Serum or Plasma", "mg/dL", 120, 290),
    Measured("2571-8", "Triglycerides", "mg/dL", 60, 380),
    Measured("18262-6", "Low Density Lipoprotein Cholesterol", "mg/dL", 50, 190),
    Measured("2085-9", "High Density Lipoprotein Cholesterol", "mg/dL", 20, 85),
)
METABOLIC = (
    Measured("2339-0", "Glucose", "mg/dL", 60, 210),
    Measured("6299-2", "Urea Nitrogen", "mg/dL", 7, 22),
    Measured("38483-4", "Creatinine", "mg/dL", 0.5, 3.9),
    Measured("49765-1", "Calcium", "mg/dL", 8.4, 10.4),
    Measured("2947-0", "Sodium", "mmol/L", 134, 146),
    Measured("6298-4", "Potassium", "mmol/L", 3.4, 5.4),
    Measured("2069-3", "Chloride", "mmol/L", 99, 113),
    Measured("20565-8", "Carbon Dioxide", "mmol/L", 19, 30),
)
BLOOD_COUNT = (
    Measured("6690-2", "Leukocytes [#/volume] in Blood by Automated count", "10*3/uL", 3, 12),
    Measured("789-8", "Erythrocytes [#/volume] in Blood by Automated count", "10*6/uL", 3.5, 6),
    Measured("718-7", "Hemoglobin [Mass/volume] in Blood", "g/dL", 10, 18),
    Measured("4544-3", "Hematocrit [Volume Fraction] of Blood by Automated count", "%", 30, 52),
    Measured("787-2", "MCV [Entitic volume] by Automated count", "fL", 76, 102),
    Measured("785-6", "MCH [Entitic mass] by Automated count", "pg", 25, 35),
    Measured("777-3", "Platelets [#/volume] in Blood by Automated count", "10*3/uL", 140, 460),
)
PANELS: tuple[tuple[Term, tuple[Measured, ...]], ...] = (
    (("57698-3", "Lipid Panel"), LIPIDS),
    (("51990-0", "Basic Metabolic Panel"), METABOLIC),
    (("58410-2", "Complete blood count (hemogram) panel - Blood by Automated count"), BLOOD_COUNT),
)
SINGLE_LABS = (
    Measured("4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", "%", 4.5, 11),
    Measured("33914-3", "Estimated Glomerular Filtration Rate", "mL/min/{1.73_m2}", 8, 120),
    Measured("2857-1", "Prostate specific Ag [Mass/volume] in Serum or Plasma", "ng/mL", 0, 8),
    Measured("14959-1", "Microalbumin Creatinine Ratio", "mg/g", 2, 320),
)
SMOKING: tuple[Term, ...] = (
    ("266919005", "Never smoker"),
    ("8517006", "Former smoker"),
    ("449868002", "Current every day smoker"),
)
ENCOUNTERS: tuple[tuple[str, Term], ...] = (  # class, type
    ("AMB", ("162673000", "General examination of patient (procedure)")),
    ("AMB", ("410620009", "Well child visit (procedure)")),
    ("AMB", ("185345009", "Encounter for symptom")),
    ("AMB", ("185347001", "Encounter for problem")),
    ("AMB", ("698314001", "Consultation for treatment")),
    ("EMER", ("50849002", "Emergency room admission (procedure)")),
    ("IMP", ("183452005", "Encounter Inpatient")),
)
CONDITIONS: tuple[Term, ...] = (
    ("195662009", "Acute viral pharyngitis (disorder)"),
    ("10509002", "Acute bronchitis (disorder)"),
    ("444814009", "Viral sinusitis (disorder)"),
    ("59621000", "Hypertension"),
    ("15777000", "Prediabetes"),
    ("162864005", "Body mass index 30+ - obesity (finding)"),
    ("271737000", "Anemia (disorder)"),
    ("55822004", "Hyperlipidemia"),
    ("44054006", "Diabetes"),
    ("65363002", "Otitis media"),
    ("43878008", "Streptococcal sore throat (disorder)"),
    ("840544004", "Suspected COVID-19"),
    ("840539006", "COVID-19"),
    ("44465007", "Sprain of ankle"),
    ("239872002", "Osteoarthritis of hip"),
    ("40055000", "Chronic sinusitis (disorder)"),
    ("370143000", "Major depression disorder"),
    ("233678006", "Childhood asthma"),
    ("62106007", "Concussion with no loss of consciousness"),
    ("185086009", "Chronic obstructive bronchitis (disorder)"),
    ("127013003", "Diabetic renal disease (disorder)"),
    ("53741008", "Coronary Heart Disease"),
    ("230690007", "Stroke"),
    ("254837009", "Malignant neoplasm of breast (disorder)"),
)
PROCEDURES: tuple[Term, ...] = (
    ("430193006", "Medication Reconciliation (procedure)"),
    ("710824005", "Assessment of health and social care needs (procedure)"),
    ("171207006", "Depression screening (procedure)"),
    ("23426006", "Measurement of respiratory function (procedure)"),
    ("399208008", "Plain chest X-ray (procedure)"),
    ("73761001", "Colonoscopy"),
    ("428191000124101", "Documentation of current medications"),
    ("76601001", "Intramuscular injection"),
    ("261352009", "Face mask (physical object)"),
    ("274474001", "Bone immobilization"),
    ("80146002", "Appendectomy"),
    ("232717009", "Coronary artery bypass grafting"),
)
MEDICATIONS: tuple[Term, ...] = (
    ("313782", "Acetaminophen 325 MG Oral Tablet"),
    ("310798", "Hydrochlorothiazide 25 MG Oral Tablet"),
    ("314076", "lisinopril 10 MG Oral Tablet"),
    ("308192", "Amoxicillin 500 MG Oral Tablet"),
    ("860975", "24 HR Metformin hydrochloride 500 MG Extended Release Oral Tablet"),
    ("312961", "Simvastatin 20 MG Oral Tablet"),
    ("849574", "Naproxen sodium 220 MG Oral Tablet"),
    ("197361", "Amlodipine 5 MG Oral Tablet"),
    ("745679", "NDA020503 200 ACTUAT Albuterol 0.09 MG/ACTUAT Metered Dose Inhaler"),
    ("855332", "Warfarin Sodium 5 MG Oral Tablet"),
    ("596926", "duloxetine 20 MG Delayed Release Oral Capsule"),
    ("242969", "4 ML norepinephrine 1 MG/ML Injection"),
)
VACCINES: tuple[Term, ...] = (
    ("140", "Influenza, seasonal, injectable, preservative free"),
    ("113", "Td (adult) preservative free"),
    ("208", "SARS-COV-2 (COVID-19) vaccine, mRNA, spike protein, LNP, preservative free, 30 mcg/0.3mL dose"),
    ("133", "Pneumococcal conjugate PCV 13"),
    ("121", "zoster"),
    ("08", "Hep B, adolescent or pediatric"),
    ("10", "IPV"),
    ("21", "varicella"),
    ("03", "MMR"),
    ("62", "HPV, quadrivalent"),
)
INSURERS = ("Medicare", "Medicaid", "Aetna", "Blue Cross Blue Shield", "UnitedHealthcare", "Humana", "NO_INSURANCE")
