"""Words and weights that generated companies and leads are made of."""

from __future__ import annotations

from collections.abc import Mapping

# HubSpot's own name of an industry, the data vendor's name of the same, and how often it is drawn.
INDUSTRIES: tuple[tuple[str, str, int], ...] = (
    ("COMPUTER_SOFTWARE", "Software", 16),
    ("INFORMATION_TECHNOLOGY_AND_SERVICES", "Information technology", 12),
    ("MACHINERY", "Industrial machinery", 9),
    ("AUTOMOTIVE", "Automotive manufacturing", 7),
    ("FINANCIAL_SERVICES", "Financial services", 9),
    ("INSURANCE", "Insurance", 5),
    ("HOSPITAL_HEALTH_CARE", "Hospitals and health care", 8),
    ("PHARMACEUTICALS", "Pharmaceuticals", 4),
    ("RETAIL", "Retail", 9),
    ("FOOD_BEVERAGES", "Food and beverages", 5),
    ("HIGHER_EDUCATION", "Higher education", 5),
    ("CONSTRUCTION", "Construction", 6),
    ("MARKETING_AND_ADVERTISING", "Marketing and advertising", 5),
)
# What a company of each industry says of itself, in words that do not repeat the industry's name.
DESCRIPTIONS: Mapping[str, str] = {
    "COMPUTER_SOFTWARE": "We build a cloud platform and sell it by subscription",
    "INFORMATION_TECHNOLOGY_AND_SERVICES": "We run networks and help desks for other firms",
    "MACHINERY": "Makers of machine tools and packaging lines",
    "AUTOMOTIVE": "We supply brakes and wiring to car makers",
    "FINANCIAL_SERVICES": "Wealth management and lending for families and firms",
    "INSURANCE": "Policies and claims for households",
    "HOSPITAL_HEALTH_CARE": "A group of clinics with wards for every patient",
    "PHARMACEUTICALS": "We develop medicines and run clinical trials",
    "RETAIL": "Shops and an online store for the home",
    "FOOD_BEVERAGES": "Dairy, juices and baked goods for supermarkets",
    "HIGHER_EDUCATION": "Degree courses and a campus for 4,000 students",
    "CONSTRUCTION": "We put up office buildings and bridges",
    "MARKETING_AND_ADVERTISING": "Campaigns, brands and media buying",
}
SIZE_BANDS = ("1-10", "11-50", "51-200", "201-500", "501-1000", "1001-5000", "5001-10000", "10001+", "UNKNOWN")
# Lowest and highest number of employees of a size class, and how often it is drawn.
SIZES: tuple[tuple[int, int, int], ...] = ((2, 19, 20), (20, 99, 28), (100, 999, 34), (1_000, 40_000, 18))
TITLES: tuple[tuple[str, int], ...] = (
    ("Chief Executive Officer", 4),
    ("CTO", 4),
    ("CFO", 2),
    ("Founder & CEO", 4),
    ("Owner", 3),
    ("VP Engineering", 4),
    ("VP of Sales", 4),
    ("Head of Operations", 5),
    ("Head of IT", 4),
    ("Leiter Einkauf", 2),
    ("Director of Marketing", 5),
    ("IT Director", 4),
    ("Directeur des achats", 2),
    ("Procurement Manager", 6),
    ("Product Manager", 6),
    ("IT Manager", 5),
    ("Marketing Manager", 5),
    ("Engineering Lead", 4),
    ("Senior Developer", 5),
    ("Solutions Architect", 3),
    ("Business Analyst", 5),
    ("Account Executive", 4),
    ("Office Coordinator", 3),
    ("Executive Assistant", 3),
    ("Student", 2),
    ("Marketing Intern", 2),
)
STAGES: tuple[tuple[str, int], ...] = (
    ("subscriber", 15),
    ("lead", 36),
    ("marketingqualifiedlead", 25),
    ("salesqualifiedlead", 12),
    ("opportunity", 8),
    ("customer", 4),
)
SOURCES: tuple[tuple[str, int], ...] = (
    ("ORGANIC_SEARCH", 26),
    ("DIRECT_TRAFFIC", 18),
    ("REFERRALS", 12),
    ("PAID_SEARCH", 11),
    ("EMAIL_MARKETING", 10),
    ("SOCIAL_MEDIA", 8),
    ("PAID_SOCIAL", 5),
    ("OTHER_CAMPAIGNS", 3),
    ("OFFLINE", 7),
)
COUNTRIES: tuple[tuple[str, str, int], ...] = (
    ("United States", "en_US", 40),
    ("United Kingdom", "en_GB", 14),
    ("Germany", "de_DE", 14),
    ("France", "fr_FR", 12),
    ("Spain", "es_ES", 8),
    ("Poland", "pl_PL", 7),
    ("Japan", "ja_JP", 5),
)
LEAD_STATUSES = ("NEW", "OPEN", "IN_PROGRESS", "CONNECTED", "ATTEMPTED_TO_CONTACT", "UNQUALIFIED")
PRODUCTS = ("Platform", "Analytics", "Connectors", "Support plan", "platform ", "ANALYTICS")
SEGMENTS = ("enterprise", "mid-market", "smb")
TECHNOLOGIES = ("AWS", "Azure", "SAP", "Salesforce", "Kafka", "Kubernetes", "PostgreSQL", "Snowflake", "Java", "Python")
